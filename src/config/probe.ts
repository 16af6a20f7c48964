/**
 * A policy's `probe`: what cannot hold together in it, the header values that stand elsewhere, and the way from the words
 * of the file to the values of the gateway and back. What may stand there is in `policy-schema.ts`.
 */
import type { Policy, ProbeHeader, ProbePolicy } from "../core/policy.ts";
import type { FileConfig, PolicySettings } from "./file-schema.ts";
import type { PolicyValues, ProbeValues } from "./inherit.ts";
import { SAFE_METHODS } from "./paths.ts";
import type { Contradiction, Problem } from "./problems.ts";
import { readSecret } from "./secret-places.ts";
import { formatDuration, parseDuration } from "./units.ts";
import { fieldValueFault } from "./values.ts";

type HeaderSettings = ProbeValues["headers"][number];

/** `methods` of the match. What is inherited is told where it stands, or at `onUnknown` of who cannot have it. */
export function probeContradictions(
  at: string,
  own: PolicySettings,
  values: PolicyValues,
  methods: readonly string[],
): readonly Contradiction[] {
  const found: Contradiction[] = [];
  const tell = (key: string, message: string, ...reads: string[]) =>
    found.push({ path: `${at}.${key}`, message, reads: reads.map((read) => `${at}.${read}`) });
  tellHeaders(own.probe?.headers ?? [], tell);
  if (values.onUnknown !== "probe") {
    // Of a route itself only: in the defaults it may wait for a route that says probe.
    if (own.probe !== undefined && at !== "defaults") {
      tell("probe", "has a meaning only with onUnknown: probe", "onUnknown");
    }
    return found;
  }
  if (values.probe.path === undefined) {
    const message =
      "is required with onUnknown: probe: where the upstream tells what became of a key, such as /payments/by-key/{key}";
    tell("probe.path", message, "onUnknown");
  }
  if (values.key.from !== "header") {
    tell(
      own.key?.from === undefined ? "onUnknown" : "key.from",
      `must not be ${own.key?.from === undefined ? "probe with a key" : "other than header with onUnknown: probe: the status URL is asked with the client's own key, and this one is taken"} from the ${values.key.from}`,
      "key.from",
      "onUnknown",
    );
  }
  if (values.resource !== undefined) {
    tell(
      "resource",
      "must be left out with onUnknown: probe: what is remembered of a resource rests on how its writes ended, and a probe does not tell that; use block or resend",
      "onUnknown",
    );
  }
  const safe = methods.filter((method) => SAFE_METHODS.has(method));
  if (safe.length > 0) {
    tell(
      "match.methods",
      `must not have ${safe.join(", ")} with onUnknown: probe: what only reads or gets-or-creates can be sent again; use resend, or a route of its own`,
      "onUnknown",
    );
  }
  tellTimes(values, tell);
  return found;
}

type Tell = (key: string, message: string, ...reads: string[]) => void;

function tellTimes({ probe: { releaseAfter }, retention }: PolicyValues, tell: Tell): void {
  if (releaseAfter === undefined || ms(releaseAfter) < ms(retention.unknown)) return;
  tell(
    "probe.releaseAfter",
    `must be shorter than retention.unknown (${retention.unknown}), or no 404 ever counts`,
    "retention.unknown",
  );
}

/** What is sent as a credential must not stand in a file that is printed and passed around. */
const SECRET = /^(?:authorization|proxy-authorization|cookie|.*(?:api-?key|token|secret).*)$/iu;

function tellHeaders(headers: readonly HeaderSettings[], tell: Tell): void {
  for (const [index, { name, value, env, file }] of headers.entries()) {
    const at = `probe.headers[${index}]`;
    if (name === undefined) tell(`${at}.name`, "is required: the field's name");
    const places = [value, env, file].filter((place) => place !== undefined);
    if (places.length !== 1) tell(at, "must say what its value is: either value, env or file");
    if (name === undefined) continue;
    if (value !== undefined && SECRET.test(name)) {
      tell(`${at}.value`, "must not stand in this file: put a credential in env or file");
    }
    const twin = headers.findIndex((other) => other.name?.toLowerCase() === name.toLowerCase());
    if (twin !== index) tell(`${at}.name`, `is the name of probe.headers[${twin}] already`);
  }
}

/** By where they were read. */
export type HeaderValues = ReadonlyMap<string, string>;

export interface HeadersRead {
  readonly values: HeaderValues;
  readonly problems: readonly Problem[];
}

/** Of a file that was found sound. Reads the environment that it is handed, and files. */
export function readProbeHeaders(file: FileConfig, env: NodeJS.ProcessEnv): HeadersRead {
  const values = new Map<string, string>();
  const problems: Problem[] = [];
  const policies = [
    { at: "defaults", policy: file.defaults },
    ...(file.routes ?? []).map((policy, index) => ({ at: `routes[${index}]`, policy })),
  ];
  for (const { at, policy } of policies) {
    for (const [index, header] of (policy?.probe?.headers ?? []).entries()) {
      if (header.value !== undefined) continue;
      const path = `${at}.probe.headers[${index}]`;
      const read = readSecret(header, path, env, fieldValue, FORM);
      if ("from" in read) values.set(placeOf(read.from), read.secret);
      else problems.push(read);
    }
  }
  return { values, problems };
}

const FORM = "must hold what can be the value of a header field";

function fieldValue(text: string): string | undefined {
  return fieldValueFault(text) === undefined ? text : undefined;
}

function fromOf({ value, env, file }: HeaderSettings): ProbeHeader["from"] {
  if (value !== undefined) return { value };
  return file === undefined ? { env: env ?? "" } : { file };
}

function placeOf(from: Exclude<ProbeHeader["from"], { value: string }>): string {
  return "file" in from ? `file ${from.file}` : `env ${from.env}`;
}

/** `undefined` where the policy does not probe. */
export function resolveProbe(
  { onUnknown, probe }: Pick<PolicyValues, "onUnknown" | "probe">,
  read: HeaderValues,
  leaseMs: number,
): ProbePolicy | undefined {
  if (onUnknown !== "probe") return undefined;
  const { path = "", as, timeout, releaseAfter, headers } = probe;
  return {
    path,
    as,
    timeoutMs: ms(timeout),
    releaseAfterMs: releaseAfter === undefined ? leaseMs : ms(releaseAfter),
    headers: headers.map((header) => {
      const from = fromOf(header);
      const value = "value" in from ? from.value : (read.get(placeOf(from)) ?? "");
      return { name: header.name ?? "", value, from };
    }),
  };
}

/** Nothing where nobody is asked; the values of `env` and `file` stay where they are. */
export function describeProbe({ probe }: Policy): Pick<PolicySettings, "probe"> {
  if (probe === undefined) return {};
  const { path, as, timeoutMs, releaseAfterMs, headers } = probe;
  return {
    probe: {
      path,
      as,
      timeout: formatDuration(timeoutMs),
      releaseAfter: formatDuration(releaseAfterMs),
      headers: headers.map(({ name, from }) => ({ name, ...from })),
    },
  };
}

/** The same with every value that was read elsewhere replaced. */
export function hideProbe(policy: Policy, hidden: string): Policy {
  if (policy.probe === undefined) return policy;
  const headers = policy.probe.headers.map((header) =>
    "value" in header.from ? header : { ...header, value: hidden },
  );
  return { ...policy, probe: { ...policy.probe, headers } };
}

/** Sound values only: NaN compares false and so tells nothing. */
function ms(duration: string): number {
  return parseDuration(duration) ?? Number.NaN;
}
