/** The closed-loop workloads: what is sent, over how many connections, to whom, and what the upstream may see of it. */
import type { Mode } from "./load.ts";
import type { Expected } from "./sample.ts";

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly mode: Mode;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly expected: Expected;
  readonly contenders: readonly string[];
  /** `one`: the key is completed first. `all`: all keys are. `held`: the key is in flight all the time. */
  readonly prepared?: "one" | "all" | "held";
}

const EACH: Expected = { executed: 1, refused: false };
const NONE: Expected = { executed: 0, refused: false };
const BODY_BYTES = 250;
const CONNECTIONS = 64;

/** In A B A B order; what is compared most is next to each other. */
const GUARDING = ["nginx-lua", "gateway-redis", "gateway-embedded"];
const EVERYBODY = [
  ...["direct", "nginx", "http-proxy", "undici", "nginx-lua", "gateway-redis", "gateway-embedded"],
  ...["gateway-redis-2", "gateway-embedded-2", "nginx-lua-2", "middleware"],
];

const first: Workload = {
  name: "first",
  title: "guarded first execution, 250-byte body, 180-byte answer",
  mode: "unique",
  bodyBytes: BODY_BYTES,
  connections: CONNECTIONS,
  expected: EACH,
  contenders: EVERYBODY,
};

export const WORKLOADS: readonly Workload[] = [
  first,
  {
    ...first,
    name: "hot",
    title: "replay of one hot key",
    mode: "one",
    expected: NONE,
    contenders: [...GUARDING, "middleware"],
    prepared: "one",
  },
  {
    ...first,
    name: "cold",
    title: "replay of cold keys, each once in turn",
    mode: "cycle",
    expected: NONE,
    contenders: GUARDING,
    prepared: "all",
  },
  {
    ...first,
    name: "get",
    title: "pass-through GET",
    mode: "get",
    contenders: ["direct", "nginx", "nginx-lua", "undici", "http-proxy", "gateway-redis"],
  },
  {
    ...first,
    name: "mixed",
    title: "90 % GET, 10 % guarded first execution",
    mode: "mixed",
    contenders: ["undici", ...GUARDING],
  },
  {
    ...first,
    name: "conflict",
    title: "duplicates of one request in flight",
    mode: "one",
    expected: { executed: 0, refused: true },
    contenders: GUARDING,
    prepared: "held",
  },
  ...[16, 256].map((kib): Workload => {
    return {
      ...first,
      name: `body-${kib}k`,
      title: `guarded first execution, ${kib} KiB body`,
      bodyBytes: kib * 1024,
      contenders: ["undici", ...GUARDING],
    };
  }),
  ...[1, 4, 16, 256].map((connections): Workload => {
    return {
      ...first,
      name: `connections-${connections}`,
      title: `guarded first execution over ${connections} connection${connections === 1 ? "" : "s"}`,
      connections,
      contenders: ["nginx-lua", "gateway-redis"],
    };
  }),
];
