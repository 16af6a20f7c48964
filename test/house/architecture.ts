/**
 * The dependency table and the house rules as a function from files to violations. It takes a map of path to text, so
 * that the test can hand it the real tree as well as a tree with one planted violation. Reads no disk itself.
 */
import { posix } from "node:path";
import { readSource, type SourceFacts } from "./source.ts";

export interface Violation {
  rule: Rule;
  path: string;
  what: string;
}

type Rule =
  | "parse"
  | "room"
  | "package"
  | "exclusive"
  | "environment"
  | "purity"
  | "length"
  | "opening"
  | "cycle"
  | "name"
  | "barrel";

interface Room {
  /** Rooms it may import besides itself. `config:types` and `core:types` allow type-only imports. */
  rooms: readonly string[];
  packages: readonly string[];
  /** Node's own modules: all, none, or these. */
  builtins: "all" | readonly string[];
  /** No clock, no chance, no environment: time and tokens arrive as arguments. */
  pure?: true;
}

const OPENTELEMETRY = [
  "@opentelemetry/api",
  "@opentelemetry/exporter-trace-otlp-http",
  "@opentelemetry/resources",
  "@opentelemetry/sdk-trace-base",
];

const ROOMS: Readonly<Record<string, Room>> = {
  core: { rooms: [], packages: [], builtins: ["node:crypto"], pure: true },
  flow: { rooms: ["core"], packages: [], builtins: [], pure: true },
  http: { rooms: ["core"], packages: ["http-proxy", "undici", "jsonc-parser"], builtins: "all" },
  store: { rooms: ["core"], packages: ["ioredis", "lmdb", "msgpackr"], builtins: "all" },
  lock: { rooms: ["core"], packages: ["redlock", "ioredis"], builtins: "all" },
  access: { rooms: ["core"], packages: ["jose"], builtins: "all" },
  observe: {
    rooms: ["core"],
    packages: ["pino", "prom-client", ...OPENTELEMETRY],
    builtins: "all",
  },
  config: {
    rooms: ["core:types"],
    packages: ["zod", "yaml", "fastest-levenshtein"],
    builtins: "all",
  },
  notify: { rooms: ["core"], packages: [], builtins: ["node:crypto"] },
  cli: { rooms: ["config", "http"], packages: ["zod"], builtins: "all" },
  admin: { rooms: ["core", "config:types"], packages: [], builtins: "all" },
  // Runs in a browser.
  console: { rooms: [], packages: [], builtins: [] },
};

/** One file knows each of these libraries, so that replacing one is a change to one file. */
const EXCLUSIVE = [
  "http-proxy",
  "undici",
  "lmdb",
  "prom-client",
  "pino",
  "redlock",
  "jose",
  ...OPENTELEMETRY,
];

/** What core takes from node:crypto: digests. Random bits are not among them. */
const DIGESTS = new Set(["createHash", "createHmac", "hash", "timingSafeEqual", "Hash", "Hmac"]);

const IMPURE =
  /^(Date\.(now|\[\])|Date\(\)|Date|new Date\(\)|Math\.random|(set(Timeout|Interval|Immediate)|queueMicrotask|fetch)(\(\))?|(process|performance|console|crypto|globalThis)(\..*)?)$/;

const CATCH_ALL = new Set(
  "util utils helper helpers common manager managers misc index".split(" "),
);

const MAX_LINES = 300;

/** `files`: path under src/ (with `/`) to text; TypeScript and Lua. */
export function checkArchitecture(files: ReadonlyMap<string, string>): Violation[] {
  const facts = new Map<string, SourceFacts>();
  for (const [path, text] of files) {
    if (path.endsWith(".ts")) facts.set(path, readSource(path, text));
  }
  const violations: Violation[] = [];
  for (const [path, text] of files) violations.push(...checkShape(path, text));
  for (const [path, source] of facts) {
    violations.push(...checkImports(path, source), ...checkGlobals(path, source));
  }
  return [...violations, ...checkExclusive(facts), ...checkCycles(facts)];
}

function checkShape(path: string, text: string): Violation[] {
  const found: Violation[] = [];
  const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
  if (lines > MAX_LINES) found.push({ rule: "length", path, what: `${lines} lines` });
  const opening = path.endsWith(".lua") ? /^(#![^\n]*\n)?--/ : /^(#![^\n]*\n)?(\/\*\*|\/\/)/;
  if (!opening.test(text)) {
    found.push({ rule: "opening", path, what: "does not open with a comment" });
  }
  const words = path.replace(/\.[^.]+$/, "").split(/[/._-]|(?<=[a-z])(?=[A-Z])/);
  const vague = words.find((word) => CATCH_ALL.has(word.toLowerCase()));
  if (vague !== undefined) found.push({ rule: "name", path, what: `"${vague}" says nothing` });
  return found;
}

function checkImports(path: string, source: SourceFacts): Violation[] {
  const found: Violation[] = source.parseErrors.map((what) => ({ rule: "parse", path, what }));
  if (source.reExportsAll) found.push({ rule: "barrel", path, what: "re-exports a whole file" });
  const own = roomOf(path);
  if (own === undefined) return found; // main.ts and gateway.ts put everything together.
  const room = ROOMS[own];
  if (room === undefined) return [...found, { rule: "room", path, what: `no room "${own}"` }];

  for (const { specifier, typeOnly, names } of source.imports) {
    if (specifier.startsWith("node:")) {
      const known = room.builtins === "all" || room.builtins.includes(specifier);
      const digestsOnly = !room.pure || names.every((name) => DIGESTS.has(name));
      if (!known) found.push({ rule: "package", path, what: `${own} imports ${specifier}` });
      else if (!digestsOnly) {
        found.push({ rule: "purity", path, what: `${names.join(", ")} from ${specifier}` });
      }
    } else if (specifier.startsWith(".")) {
      const target = resolve(path, specifier);
      const other = target.startsWith("..") ? target : roomOf(target);
      const allowed =
        other === own ||
        (other !== undefined &&
          (room.rooms.includes(other) || (typeOnly && room.rooms.includes(`${other}:types`))));
      if (!allowed) found.push({ rule: "room", path, what: `${own} imports ${target}` });
    } else if (!room.packages.includes(packageOf(specifier))) {
      found.push({ rule: "package", path, what: `${own} imports ${specifier}` });
    }
  }
  return found;
}

function checkGlobals(path: string, source: SourceFacts): Violation[] {
  const found: Violation[] = [];
  const own = roomOf(path);
  const importsEnv = source.imports.some(
    ({ specifier, names }) =>
      /^(node:)?process$/.test(specifier) && names.some((name) => /^(env|default|\*)$/.test(name)),
  );
  // A bare `process`, as in `const { env } = process`, hides what is read of it.
  const readsEnv = source.globals.some((use) => /^process(\.(env|\[\]))?$/.test(use));
  if (own !== "config" && (importsEnv || readsEnv)) {
    found.push({ rule: "environment", path, what: "reads the environment" });
  }
  if (own !== undefined && ROOMS[own]?.pure) {
    for (const use of source.globals.filter((each) => IMPURE.test(each))) {
      found.push({ rule: "purity", path, what: `uses ${use}` });
    }
  }
  return found;
}

function checkExclusive(facts: ReadonlyMap<string, SourceFacts>): Violation[] {
  return EXCLUSIVE.flatMap((name) => {
    const users = [...facts]
      // Declarations of a package's parts use nothing.
      .filter(([path]) => !path.endsWith(".d.ts"))
      .filter(([, { imports }]) => imports.some(({ specifier }) => packageOf(specifier) === name))
      .map(([path]) => path);
    return users.slice(1).map((path): Violation => {
      return { rule: "exclusive", path, what: `${name} is already ${users[0]}'s` };
    });
  });
}

/** Depth first; a file met again on the way down closes a cycle. Each cycle is told once. */
function checkCycles(facts: ReadonlyMap<string, SourceFacts>): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) {
      found.push({ rule: "cycle", path, what: [...trail.slice(at), path].join(" → ") });
      return;
    }
    if (done.has(path)) return;
    for (const { specifier } of facts.get(path)?.imports ?? []) {
      if (specifier.startsWith(".")) walk(resolve(path, specifier), [...trail, path]);
    }
    done.add(path);
  };
  for (const path of facts.keys()) walk(path, []);
  return found;
}

function resolve(from: string, specifier: string): string {
  return posix.normalize(posix.join(posix.dirname(from), specifier));
}

/** The folder under src/; undefined for the files that stand in src/ itself. */
function roomOf(path: string): string | undefined {
  return path.includes("/") ? path.split("/")[0] : undefined;
}

function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}
