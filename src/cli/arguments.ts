/** The words behind `idempotency-gateway records`: what is asked for, or what is not clear about it. Does nothing. */
import { parseArgs } from "node:util";

export type Command =
  | {
      readonly kind: "list";
      readonly state: string | undefined;
      readonly route: string | undefined;
      /** How many are shown at most. */
      readonly limit: number;
    }
  | { readonly kind: "show"; readonly id: string }
  | { readonly kind: "forget"; readonly id: string }
  | {
      readonly kind: "resolve";
      readonly id: string;
      readonly outcome: "executed" | "not-executed";
      /** Where the answer is that retries are to get: a file, or `-`. */
      readonly answer: string | undefined;
    };

export interface Asked {
  readonly command: Command;
  /** For programs instead of people. */
  readonly json: boolean;
  /** Confirmed beforehand. */
  readonly yes: boolean;
  /** Flags that say where the gateway is, as the gateway itself reads them. */
  readonly place: readonly string[];
}

export type Read =
  | ({ readonly kind: "asked" } & Asked)
  | { readonly kind: "help" }
  | { readonly kind: "unclear"; readonly problem: string };

/** As in the header `Idempotency-Record`. */
export const RECORD_ID = /^[0-9a-f]{64}$/u;

const DEFAULT_LIMIT = 100;

export const USAGE = `Usage: idempotency-gateway records COMMAND [FLAG]...

Looks at the records of a running gateway, over its admin port, and decides about unknown outcomes.

Commands:
  list                      one line per record; --state unknown: what nobody knows
  show ID                   all that may be seen of one record
  resolve ID executed       it did run: retries are refused from now on, nothing is sent
  resolve ID executed --answer FILE
                            it did run: retries get this answer from now on, nothing is sent
  resolve ID not-executed   it did not run: the next retry is sent
  forget ID                 the next request with its key is sent, whatever has happened

Flags:
  --state STATE             list: in-flight, completed or unknown
  --route NAME              list: of this route only
  --limit N                 list: at most N, ${DEFAULT_LIMIT} where nothing is said
  --all                     list: all of them
  --json                    for programs: JSON, one record to a line
  --yes                     resolve, forget: do not ask
  --answer FILE             resolve: an HTTP answer as curl -i prints it; - for standard input
  --admin HOST:PORT         where the gateway's admin port is
  --config FILE             read it, and the token, from the gateway's configuration

The token is taken from IDEMPOTENCY_GATEWAY_ADMIN_TOKEN or from the configuration.

Exit status:
  0  done
  1  refused, not confirmed, or the gateway does not answer
  2  the command line, the configuration or the answer is not understood
`;

/** Never throws for what a user wrote. */
export function readCommand(words: readonly string[]): Read {
  let parsed;
  try {
    parsed = parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    return unclear(error instanceof Error ? error.message : "not understood");
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { kind: "help" };
  const { state, route, limit = String(DEFAULT_LIMIT), all = false, answer } = values;
  if (!/^[1-9]\d{0,8}$/u.test(limit)) {
    return unclear("--limit takes a whole number from 1; --all lists all of them");
  }
  if (state !== undefined && !STATES.includes(state)) {
    return unclear(`--state takes one of ${STATES.join(", ")}`);
  }
  const list = { state, route, limit: all ? Infinity : Number(limit) };
  const command = commandOf(positionals, list, answer);
  if (typeof command === "string") return unclear(command);
  const strange = Object.keys(values).find((name) => !FLAGS[command.kind].includes(name));
  if (strange !== undefined) return unclear(`${command.kind} takes no --${strange}`);
  if (answer === "-" && values.yes !== true) {
    return unclear("--answer - takes standard input, so that nobody can be asked: say --yes");
  }
  return {
    kind: "asked",
    command,
    json: values.json === true,
    yes: values.yes === true,
    place: [
      ...(values.config === undefined ? [] : ["--config", values.config]),
      ...(values.admin === undefined ? [] : ["--admin", values.admin]),
    ],
  };
}

const STATES: readonly string[] = ["in-flight", "completed", "unknown"];

const EVERYWHERE = ["json", "admin", "config"];
const FLAGS: Readonly<Record<Command["kind"], readonly string[]>> = {
  list: [...EVERYWHERE, "state", "route", "limit", "all"],
  show: EVERYWHERE,
  forget: [...EVERYWHERE, "yes"],
  resolve: [...EVERYWHERE, "yes", "answer"],
};

const OPTIONS = {
  state: { type: "string" },
  route: { type: "string" },
  limit: { type: "string" },
  all: { type: "boolean" },
  json: { type: "boolean" },
  yes: { type: "boolean" },
  answer: { type: "string" },
  admin: { type: "string" },
  config: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

const COMMANDS = "list, show, resolve and forget";

function unclear(problem: string): Read {
  return { kind: "unclear", problem };
}

/** The command, or what is wrong with the words. */
function commandOf(
  [name, id, outcome, ...more]: readonly string[],
  list: Omit<Command & { kind: "list" }, "kind">,
  answer: string | undefined,
): Command | string {
  if (more.length > 0) return `"${more[0]}" is one word too many`;
  if (name === "list") {
    return id === undefined ? { kind: "list", ...list } : "list takes flags alone";
  }
  if (name !== "show" && name !== "forget" && name !== "resolve") {
    return name === undefined ? `say which of ${COMMANDS}` : `"${name}" is none of ${COMMANDS}`;
  }
  if (!RECORD_ID.test(id ?? "")) {
    return `${name} takes a record id: 64 lower-case hex digits, as in Idempotency-Record`;
  }
  if (name !== "resolve") {
    return outcome === undefined ? { kind: name, id: id ?? "" } : `${name} takes a record id alone`;
  }
  if (outcome === "not-executed" && answer !== undefined) {
    return "what was not executed has no answer: --answer goes with executed";
  }
  if (outcome === "executed" || outcome === "not-executed") {
    return { kind: name, id: id ?? "", outcome, answer };
  }
  return "resolve takes the id and what became of it: executed or not-executed";
}
