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

const DEFAULT_LIMIT = 100;

export const USAGE = `Usage: idempotency-gateway records COMMAND [FLAG]...

Looks at the records of a running gateway, over its admin port, and decides about unknown outcomes.

Commands:
  list                      one line per record; --state unknown: what nobody knows
  show ID                   all that may be seen of one record
  resolve ID executed       it did run: retries are refused from now on, nothing is sent
  resolve ID not-executed   it did not run: the next retry is sent
  forget ID                 the next request with its key is sent, whatever has happened

Flags:
  --state STATE             list: in-flight, completed or unknown
  --route NAME              list: of this route only
  --limit N                 list: at most N, ${DEFAULT_LIMIT} where nothing is said
  --all                     list: all of them
  --json                    for programs: JSON, one record to a line
  --yes                     resolve, forget: do not ask
  --admin HOST:PORT         where the gateway's admin port is
  --config FILE             read it, and the token, from the gateway's configuration

The token is taken from IDEMPOTENCY_GATEWAY_ADMIN_TOKEN or from the configuration.

Exit status:
  0  done
  1  refused, or the gateway does not answer
  2  the command line or the configuration is not understood
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
  if (values.help === true || positionals.length === 0) return { kind: "help" };
  const limit = values.all === true ? Infinity : Number(values.limit ?? DEFAULT_LIMIT);
  if (!(limit === Infinity || (Number.isInteger(limit) && limit > 0))) {
    return unclear("--limit takes a whole number from 1; --all lists all of them");
  }
  const command = commandOf(positionals, { state: values.state, route: values.route, limit });
  if (typeof command === "string") return unclear(command);
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

const OPTIONS = {
  state: { type: "string" },
  route: { type: "string" },
  limit: { type: "string" },
  all: { type: "boolean" },
  json: { type: "boolean" },
  yes: { type: "boolean" },
  admin: { type: "string" },
  config: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

function unclear(problem: string): Read {
  return { kind: "unclear", problem };
}

/** The command, or what is wrong with the words. */
function commandOf(
  [name, id, outcome, ...more]: readonly string[],
  list: Omit<Command & { kind: "list" }, "kind">,
): Command | string {
  if (more.length > 0) return `"${more[0]}" is one word too many`;
  if (name === "list") {
    return id === undefined ? { kind: "list", ...list } : "list takes flags alone";
  }
  if (name !== "show" && name !== "forget" && name !== "resolve") {
    return `"${name}" is no command; there are list, show, resolve and forget`;
  }
  if (!/^[0-9a-f]{64}$/u.test(id ?? "")) {
    return `${name} takes a record id: 64 lower-case hex digits, as in Idempotency-Record`;
  }
  if (name !== "resolve") {
    return outcome === undefined ? { kind: name, id: id ?? "" } : `${name} takes a record id alone`;
  }
  if (outcome === "executed" || outcome === "not-executed") {
    return { kind: name, id: id ?? "", outcome };
  }
  return "resolve takes the id and what became of it: executed or not-executed";
}
