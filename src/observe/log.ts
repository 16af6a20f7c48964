/**
 * The log: JSON lines, one per exchange, and a few for what happens to the process. The only file that knows pino.
 * Nothing is logged that is not named here: there is no way to hand it an object of unknown content, and of an error
 * only its name, its code and the places in this program are told (libraries put keys and bodies into messages).
 */
import { type DestinationStream, pino } from "pino";
import type { Outcome } from "../core/outcome.ts";
import type { ExchangeReport } from "../core/ports.ts";
import { describeError } from "./failure.ts";
import { standardOutput } from "./stdout.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

export type EventLevel = "debug" | "info" | "warn" | "error";

/** What a line about the process may carry. Strings are escaped and cut; anything else is told by its type alone. */
export type EventFields = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

export interface Log {
  /** One line for one exchange. */
  exchange(report: ExchangeReport): void;
  /** Start, stop, workers, changes by operators. `message` is a fixed text, never built from what a caller sent. */
  event(level: EventLevel, message: string, fields?: EventFields): void;
  /** Broken machinery. `message` is a fixed text. */
  failure(message: string, error: unknown): void;
  /** From here on. */
  setLevel(level: LogLevel): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Takes one line at a time; standard output when absent. */
  readonly destination?: DestinationStream;
  /** The worker's number, told on every line where there are several. */
  readonly worker?: number;
}

/** Enough to recognise a path; a client can send kilobytes. */
const MAX_PATH_CHARS = 256;
const MAX_TEXT_CHARS = 1024;

/** What an operator should look at, and what is an alarm; every other outcome is daily business. */
const LEVELS: Partial<Readonly<Record<Outcome, EventLevel>>> = {
  "outcome-unknown": "warn",
  "not-recorded": "warn",
  "store-unavailable": "warn",
  "upstream-unreachable": "warn",
  "access-unchecked": "warn",
  "record-corrupt": "error",
  "internal-error": "error",
};

/** A log of the given level. Each line has left the process when the call returns. */
export function createLog(options: LogOptions): Log {
  const logger = pino(
    {
      level: options.level,
      base: options.worker === undefined ? null : { worker: options.worker },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? standardOutput(),
  );
  const reserved = new Set(options.worker === undefined ? OWN_MEMBERS : [...OWN_MEMBERS, "worker"]);
  return {
    exchange(report) {
      const level = LEVELS[report.outcome] ?? "info";
      logger[level](exchangeFields(report), "exchange");
    },
    event(level, message, fields = {}) {
      logger[level](eventFields(fields, reserved), printable(message, MAX_TEXT_CHARS));
    },
    failure(message, error) {
      logger.error({ error: describeError(error) }, printable(message, MAX_TEXT_CHARS));
    },
    setLevel(level) {
      logger.level = level;
    },
  };
}

/** Member by member, so that nothing that a report may gain one day is logged without a decision. */
function exchangeFields(report: ExchangeReport) {
  const queryAt = report.path.search(/[?#]/);
  const path = queryAt === -1 ? report.path : report.path.slice(0, queryAt);
  return {
    route: report.route,
    method: printable(report.method, 32),
    path: printable(path, MAX_PATH_CHARS),
    outcome: report.outcome,
    wouldBe: report.wouldBe,
    status: report.status,
    recordId: report.recordId,
    keylessId: report.keylessId,
    repeats: report.repeats,
    repeatedAfterMs: rounded(report.repeatedAfterMs),
    fence: report.fence,
    durationMs: rounded(report.durationMs),
    claimMs: rounded(report.claimMs),
    upstreamMs: rounded(report.upstreamMs),
    settleMs: rounded(report.settleMs),
    cause: report.cause === undefined ? undefined : printable(report.cause, MAX_TEXT_CHARS),
  };
}

/** Written by this file itself: a second member of the same name would make the line ambiguous to read. */
const OWN_MEMBERS = ["level", "time", "msg", "error"];

function eventFields(fields: EventFields, reserved: ReadonlySet<string>): Record<string, unknown> {
  const told: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    told[reserved.has(name) ? `${name}_` : name] = fieldValue(value);
  }
  return told;
}

/** The types of `EventFields` once more at run time: an error or a request that slips in must not be walked. */
function fieldValue(value: unknown): unknown {
  switch (typeof value) {
    case "string":
      return printable(value, MAX_TEXT_CHARS);
    case "number":
    case "boolean":
    case "undefined":
      return value;
    default:
      return Array.isArray(value) && value.every((item) => typeof item === "string")
        ? value.map((item) => printable(item, MAX_TEXT_CHARS))
        : `[${typeof value}]`;
  }
}

/** To microseconds: more digits are noise that costs bytes. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000;
}

/**
 * Control characters, line separators, lone surrogates and the marks that turn the direction of text around, as
 * `\u{1b}`: JSON escapes some of them, but a reader that prints the decoded value would let them act on the terminal.
 */
function printable(text: string, maxChars: number): string {
  if (text.length <= maxChars && /^[ -~]*$/.test(text)) return text;
  const cut = text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (char) => {
    return `\\u{${char.codePointAt(0)?.toString(16)}}`;
  });
}
