/**
 * From command line and environment to a configuration, or to everything that is wrong with it: the file first, the
 * environment over it, the flags over both. Reads files; starts, connects and logs nothing.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { certain, contradictions } from "./contradictions.ts";
import { type Assignment, readArguments, readEnvironment } from "./flags.ts";
import { readEncryption } from "./encryption.ts";
import { deepFreeze } from "./freeze.ts";
import { helpText } from "./help.ts";
import { printConfig } from "./print.ts";
import { checkShape } from "./problems.ts";
import { readProbeHeaders } from "./probe.ts";
import { resolve } from "./resolve.ts";
import { readWebhookSecrets } from "./webhook.ts";
import { PACKAGE_ROOT, packageVersion } from "./version.ts";
import type { GatewayConfig } from "./schema.ts";
import { readYaml } from "./yaml.ts";

/** What the command line asks for. `text` ends with a line feed; `problems` are lines without one. */
export type Loaded =
  | { readonly kind: "run" | "check"; readonly config: GatewayConfig; readonly file: string }
  | { readonly kind: "print" | "help" | "version"; readonly text: string }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

const BUILT_IN = "built-in defaults";

/**
 * `argv` without the interpreter and the program. `file` in the answer is the path that was read, or
 * `built-in defaults`. Never throws for what a user wrote.
 */
export function loadConfig(argv: readonly string[], env: NodeJS.ProcessEnv): Loaded {
  const flags = readArguments(argv);
  if (flags.actions.has("help")) return { kind: "help", text: helpText() };
  if (flags.actions.has("version")) return { kind: "version", text: `${packageVersion()}\n` };
  const variables = readEnvironment(env);
  const file = flags.config ?? variables.config ?? packagedFile();
  const read = file === undefined ? ({ kind: "tree", tree: {} } as const) : readYaml(file);
  const outside = [...nodeFaults(env), ...variables.problems, ...flags.problems];
  const assignments = [...variables.assignments, ...flags.assignments];
  const built = build(read.kind === "tree" ? read.tree : {}, assignments, file ?? BUILT_IN, env);
  const problems = [
    ...outside,
    ...(read.kind === "faulty" ? read.problems : []),
    // Without the file, only what flags and variables say by themselves can be judged.
    ...(read.kind === "faulty" ? built.faults : [...built.faults, ...built.contradictions]),
  ];
  if (built.config === undefined || problems.length > 0) {
    return { kind: "invalid", problems: [...new Set(problems)] };
  }
  if (flags.actions.has("print-config")) return { kind: "print", text: printConfig(built.config) };
  const kind = flags.actions.has("check") ? "check" : "run";
  return { kind, config: built.config, file: file ?? BUILT_IN };
}

/** Node's parser made lenient lets requests through that two readers understand in two ways: not behind a proxy. */
function nodeFaults(env: NodeJS.ProcessEnv): readonly string[] {
  return /--insecure[-_]http[-_]parser/.test(env["NODE_OPTIONS"] ?? "")
    ? ["NODE_OPTIONS: --insecure-http-parser opens the gateway to request smuggling; remove it"]
    : [];
}

/** The one place in the gateway that reads the environment. */
export function processEnvironment(): NodeJS.ProcessEnv {
  return process.env;
}

interface Built {
  readonly config: GatewayConfig | undefined;
  readonly faults: readonly string[];
  readonly contradictions: readonly string[];
}

function build(
  tree: unknown,
  assignments: readonly Assignment[],
  file: string,
  env: NodeJS.ProcessEnv,
): Built {
  const origins = new Map<string, string>();
  let merged = tree;
  for (const { path, value, origin } of assignments) {
    merged = withValue(merged, path, value);
    origins.set(path.join("."), origin);
  }
  const line = ({ path, message }: { readonly path: string; readonly message: string }) => {
    const origin = origins.get(path);
    if (origin !== undefined) return `${origin}: ${message}`;
    return path === "" ? `${file}: ${message}` : `${file}: ${path}: ${message}`;
  };
  const { problems, sound, cut } = checkShape(merged);
  const faults = problems.map(line);
  if (sound === undefined) return { config: undefined, faults, contradictions: [] };
  const found = certain(contradictions(sound), cut).map(line);
  if (faults.length > 0 || found.length > 0) {
    return { config: undefined, faults, contradictions: found };
  }
  const { encryption, problems: noKeys } = readEncryption(sound.store?.encryption, env);
  const webhook = readWebhookSecrets(sound.notify?.webhook, env);
  const probes = readProbeHeaders(sound, env);
  const unread = [...noKeys, ...webhook.problems, ...probes.problems];
  const secrets = { encryption, webhook: webhook.secrets, probes: probes.values };
  const config = unread.length > 0 ? undefined : deepFreeze(resolve(sound, secrets));
  return { config, faults, contradictions: unread.map(line) };
}

/** A copy with one value set. Where the file has no mapping on the way, it stays as it is and is told as a fault. */
function withValue(tree: unknown, [name, ...rest]: readonly string[], value: unknown): unknown {
  if (name === undefined) return value;
  if (tree !== undefined && (typeof tree !== "object" || tree === null || Array.isArray(tree))) {
    return tree;
  }
  // Spreading copies own members as own members, a `__proto__` from the file among them: nothing is set by assignment.
  const holder: Readonly<Record<string, unknown>> = { ...tree };
  return { ...holder, [name]: withValue(holder[name], rest, value) };
}

function packagedFile(): string | undefined {
  const file = fileURLToPath(new URL("config/gateway.yaml", PACKAGE_ROOT));
  return existsSync(file) ? file : undefined;
}
