/**
 * Command line and environment as settings over the file: which there are, what each sets, and what is wrong with
 * them. Values are judged where the file's are, so that a rule is written once.
 */
import { parseArgs } from "node:util";
import { nearest } from "./nearest.ts";

export const ENVIRONMENT_PREFIX = "IDEMPOTENCY_GATEWAY_";

const settingNames = [
  "config",
  "upstream",
  "listen",
  "admin",
  "store",
  "require-key",
  "workers",
  "log-level",
  "admin-token",
] as const;
const actionNames = ["check", "print-config", "help", "version"] as const;

type SettingName = (typeof settingNames)[number];
type ActionName = (typeof actionNames)[number];

interface Setting {
  /** Stands for the value in `--help`; `undefined`: the flag takes none. */
  readonly value: string | undefined;
  readonly help: string;
  /** Not a flag: everybody on the host can read a process's arguments. */
  readonly environmentOnly?: true;
}

/** What can be set from outside the file. `--help`, the parser and the variables all go by this table. */
export const SETTINGS: Readonly<Record<SettingName, Setting>> = {
  config: { value: "FILE", help: "read FILE instead of the packaged config/gateway.yaml" },
  upstream: { value: "URL", help: "the server behind the gateway, http(s)://HOST:PORT" },
  listen: { value: "HOST:PORT", help: "where clients connect" },
  admin: { value: "HOST:PORT", help: "where health, metrics and the records API are" },
  store: { value: "URL", help: "where records are kept: file:DIR, redis://HOST:PORT, memory: ..." },
  "require-key": { value: undefined, help: "refuse unsafe requests without a key" },
  workers: { value: "N", help: "processes that share the port" },
  "log-level": { value: "L", help: "trace, debug, info, warn, error, fatal or silent" },
  "admin-token": { value: "TOKEN", help: "token for the records API", environmentOnly: true },
};

/** What is done instead of running. These are flags only: a variable that outlives its purpose would stop the gateway. */
export const ACTIONS: Readonly<Record<ActionName, string>> = {
  check: "read the configuration, say whether it is valid, and exit",
  "print-config": "print the effective configuration, secrets hidden, and exit",
  help: "print this text and exit",
  version: "print the version and exit",
};

/** One value on its way into the configuration. `origin` is what a problem with it is called. */
export interface Assignment {
  readonly path: readonly [string, ...string[]];
  readonly value: unknown;
  readonly origin: string;
}

/** What one source says. `problems` are whole lines. */
export interface Settings {
  readonly config: string | undefined;
  readonly assignments: readonly Assignment[];
  readonly problems: readonly string[];
}

/** The command line: what the environment can say, and what to do instead of running. */
export interface Arguments extends Settings {
  readonly actions: ReadonlySet<ActionName>;
}

const flagNames = settingNames.filter((name) => SETTINGS[name].environmentOnly !== true);

/** The flags of a command line, without the program's own name. */
export function readArguments(argv: readonly string[]): Arguments {
  const options = Object.fromEntries([
    ...flagNames.map((name) => [name, { type: typeOf(name) }] as const),
    ...actionNames.map((name) => [name, { type: "boolean" as const }] as const),
  ]);
  // Not `strict`: that stops at the first mistake, and its messages quote the value.
  const { tokens } = parseArgs({
    args: [...argv],
    options: { ...options, help: { type: "boolean", short: "h" } },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = new Map<SettingName, string>();
  const actions = new Set<ActionName>();
  const problems: string[] = [];
  let unknownAt = -2;
  for (const token of tokens) {
    if (token.kind === "positional") {
      // What follows an unknown flag is most likely its value: one mistake, told once.
      if (token.index !== unknownAt + 1)
        problems.push(`argument ${token.index + 1}: ${strangeWord(token.value)}`);
      continue;
    }
    if (token.kind !== "option") continue;
    const label = token.rawName.startsWith("--") ? `--${token.name}` : `-${token.name}`;
    const setting = flagNames.find((name) => name === token.name);
    const action = actionNames.find((name) => name === token.name);
    if (setting === undefined && action === undefined) {
      if (!token.inlineValue) unknownAt = token.index;
      problems.push(`${label}: ${unknownFlag(token.name)}`);
    } else if (action !== undefined) {
      if (token.value === undefined) actions.add(action);
      else problems.push(`${label}: takes no value`);
    } else if (setting !== undefined) {
      const fault = valueFault(setting, token.value, token.inlineValue ?? false);
      if (fault !== undefined) problems.push(`${label}: ${fault}`);
      else if (given.has(setting)) problems.push(`${label}: is given twice`);
      else given.set(setting, token.value ?? "true");
    }
  }
  const settings = assign(given, (name) => `--${name}`);
  return { ...settings, actions, problems: [...problems, ...settings.problems] };
}

function strangeWord(word: string): string {
  return nearest(word, ["records"]) === undefined
    ? "not a flag; flags begin with --"
    : 'not a flag; "records" comes before all flags';
}

function typeOf(name: SettingName): "string" | "boolean" {
  return SETTINGS[name].value === undefined ? "boolean" : "string";
}

function valueFault(
  name: SettingName,
  value: string | undefined,
  inline: boolean,
): string | undefined {
  const expected = SETTINGS[name].value;
  if (expected === undefined) return value === undefined ? undefined : "takes no value";
  // `--store --check`: the value was forgotten, not `--check`.
  if (value === undefined || value === "" || (!inline && value.startsWith("-"))) {
    return `needs a value: --${name} ${expected}`;
  }
  return undefined;
}

/** The most dangerous slip gets an answer of its own. */
function unknownFlag(name: string): string {
  if (name === "admin-token")
    return `not a flag: a secret does not belong there; set ${variableOf(name)}`;
  const near = nearest(name, [...flagNames, ...actionNames]);
  return near === undefined
    ? "unknown flag; --help lists them"
    : `unknown flag; did you mean "--${near}"?`;
}

/** The variables that begin with the prefix. An empty one counts as not set. */
export function readEnvironment(env: NodeJS.ProcessEnv): Settings {
  const given = new Map<SettingName, string>();
  const problems: string[] = [];
  for (const [variable, value] of Object.entries(env).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || value === undefined) continue;
    const name = settingNames.find((known) => variableOf(known) === variable);
    if (name !== undefined) {
      if (value !== "") given.set(name, value);
    } else if (!isServiceLink(variable, value)) {
      problems.push(`${variable}: ${unknownVariable(variable)}`);
    }
  }
  const settings = assign(given, variableOf);
  return { ...settings, problems: [...problems, ...settings.problems] };
}

/** `log-level` is `IDEMPOTENCY_GATEWAY_LOG_LEVEL`. */
export function variableOf(name: string): string {
  return `${ENVIRONMENT_PREFIX}${name.toUpperCase().replaceAll("-", "_")}`;
}

/** Quotes the name alone: the value of a misspelt variable may well be the secret. */
function unknownVariable(variable: string): string {
  const action = actionNames.find((name) => variableOf(name) === variable);
  if (action !== undefined) return `not a setting; use the flag --${action}`;
  const rest = (name: string) => name.slice(ENVIRONMENT_PREFIX.length);
  const near = nearest(rest(variable), settingNames.map(variableOf).map(rest));
  return near === undefined
    ? `unknown variable; known: ${settingNames.map(variableOf).join(", ")}`
    : `unknown variable; did you mean "${ENVIRONMENT_PREFIX}${near}"?`;
}

/**
 * Kubernetes gives every pod variables named after the services of its namespace: a service called
 * `idempotency-gateway` must not keep the gateway from starting.
 */
function isServiceLink(variable: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/u.test(variable)) return true;
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/u.test(variable)) return true;
  return variable.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//u.test(value);
}

/** From words to places in the configuration. Later assignments win, so the environment comes before the flags. */
function assign(
  given: ReadonlyMap<SettingName, string>,
  originOf: (name: SettingName) => string,
): Settings {
  const assignments: Assignment[] = [];
  const problems: string[] = [];
  for (const [name, text] of given) {
    const origin = originOf(name);
    const set = (value: unknown, ...path: [string, ...string[]]) =>
      assignments.push({ path, value, origin });
    switch (name) {
      case "config":
        break;
      case "upstream":
      case "store":
        set(text, name, "url");
        break;
      case "listen":
      case "admin": {
        const address = readHostPort(text);
        if (address === undefined) {
          problems.push(`${origin}: must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080`);
          break;
        }
        set(address.host, name, "host");
        set(address.port, name, "port");
        break;
      }
      case "require-key":
        if (text === "true" || text === "false")
          set(text === "true", "defaults", "key", "required");
        else problems.push(`${origin}: must be true or false`);
        break;
      case "workers":
        set(/^\d{1,9}$/u.test(text) ? Number(text) : text, "workers");
        break;
      case "log-level":
        set(text, "log", "level");
        break;
      case "admin-token":
        set(text, "admin", "token");
    }
  }
  return { config: given.get("config"), assignments, problems };
}

/** `host:port`, IPv6 in brackets. */
function readHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/u.exec(text);
  const host = match?.[1] ?? match?.[2];
  return host === undefined ? undefined : { host, port: Number(match?.[3]) };
}
