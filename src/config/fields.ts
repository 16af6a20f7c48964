/**
 * The kinds of field a configuration file has, as zod schemas whose messages say what would be right. Every field may
 * be left out; `null` is a mistake. No message quotes a value: it may be a secret in the wrong place.
 */
import { z } from "zod";
import { nearest } from "./nearest.ts";
import {
  DURATION_PATTERN,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  SIZE_PATTERN,
} from "./units.ts";

/** Node's timers count milliseconds in 31 bits; a longer one would fire at once. */
const LONGEST_TIMER_MS = 24 * 86_400_000;
const LONGEST_RETENTION_MS = 3650 * 86_400_000;
const LARGEST_SIZE_BYTES = 1024 ** 3;

type Fault = (value: string) => string | undefined;

/** Says what a value is, never which. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "an empty value";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  if (typeof value === "string") return "text";
  return typeof value === "boolean" ? "true or false" : "a number";
}

const mustBe = (expected: string) => ({
  error: (issue: { readonly input?: unknown }) => `must be ${expected}, not ${kindOf(issue.input)}`,
});

function checked(expected: string, fault: Fault) {
  return z.string(mustBe(expected)).superRefine((value, context) => {
    const message = fault(value);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });
}

/** A text that `fault` has nothing against; `expected` is what a value of another type is told. */
export function text(description: string, expected: string, fault: Fault) {
  return checked(expected, fault).meta({ description }).exactOptional();
}

/** `true` or `false`. YAML 1.2: `yes` and `off` are texts, and are refused. */
export function flag(description: string) {
  return z.boolean(mustBe("true or false")).meta({ description }).exactOptional();
}

/** A whole number from `least` to `most`, both permitted. */
export function count(description: string, least: number, most: number) {
  return wholeNumber(least, most).meta({ description }).exactOptional();
}

/** A part of a whole, from 0 to 1, both permitted. */
export function ratio(description: string) {
  const range = "a number between 0 and 1";
  return z
    .number(mustBe(range))
    .min(0, { error: `must be ${range}` })
    .max(1, { error: `must be ${range}` })
    .meta({ description })
    .exactOptional();
}

/** One of a few words; a slip of the fingers is told which word was meant. */
export function choice<const Values extends readonly [string, ...string[]]>(
  description: string,
  values: Values,
) {
  return z
    .enum(values, {
      error: ({ input }) => {
        if (typeof input !== "string")
          return `must be one of ${values.join(", ")}, not ${kindOf(input)}`;
        const near = nearest(input, values);
        const hint = near === undefined ? "" : `; did you mean "${near}"?`;
        return `must be one of ${values.join(", ")}${hint}`;
      },
    })
    .meta({ description })
    .exactOptional();
}

/** One of a few statuses. */
export function oneStatus<const Values extends readonly [number, ...number[]]>(
  description: string,
  values: Values,
) {
  const expected = `must be one of ${values.join(", ")}`;
  return z
    .literal(values, {
      error: ({ input }) =>
        typeof input === "number" ? expected : `${expected}, not ${kindOf(input)}`,
    })
    .meta({ description })
    .exactOptional();
}

/** The word, or a mapping of its own keys and no others; `expected` is what anything else is told. */
export function wordOr<const Word extends string, Shape extends z.ZodRawShape>(
  description: string,
  word: Word,
  expected: string,
  shape: Shape,
) {
  return z
    .union([z.literal(word), z.strictObject(shape)], {
      error: ({ input }) =>
        typeof input === "string" ? `must be ${expected}` : mustBe(expected).error({ input }),
    })
    .meta({ description })
    .exactOptional();
}

/** A duration that some timer waits for. */
export function timer(description: string) {
  return duration(description, 1, LONGEST_TIMER_MS);
}

/** A duration that the store counts. */
export function retention(description: string) {
  return duration(description, 1000, LONGEST_RETENTION_MS);
}

function duration(description: string, leastMs: number, mostMs: number) {
  const expected = "a duration with its unit, such as 250ms, 30s or 24h";
  const range = `must be between ${formatDuration(leastMs)} and ${formatDuration(mostMs)}`;
  const fault = rangeFault(parseDuration, `must be ${expected}`, range, leastMs, mostMs);
  return checked(expected, fault).meta({ description, pattern: DURATION_PATTERN }).exactOptional();
}

/** Up to 1GiB: what it bounds is held in memory. */
export function size(description: string) {
  const expected = "a size with its unit (B, KiB, MiB, GiB), such as 64KiB or 1MiB";
  const range = `must be at most ${formatSize(LARGEST_SIZE_BYTES)}`;
  const fault = rangeFault(parseSize, `must be ${expected}`, range, 0, LARGEST_SIZE_BYTES);
  return checked(expected, fault).meta({ description, pattern: SIZE_PATTERN }).exactOptional();
}

function rangeFault(
  parse: (value: string) => number | undefined,
  form: string,
  range: string,
  least: number,
  most: number,
): Fault {
  return (value) => {
    const amount = parse(value);
    if (amount === undefined) return form;
    return amount >= least && amount <= most ? undefined : range;
  };
}

/** A list of texts, none of them twice. */
export function list(description: string, expected: string, fault: Fault) {
  return listWithout(description, expected, fault, (value) => value);
}

/** A list of header names, none of them twice in whatever case. */
export function headers(description: string, fault: Fault) {
  return listWithout(description, "a header name", fault, (value) => value.toLowerCase());
}

/** A list of server URLs, no server twice however its URL is written. */
export function servers(
  description: string,
  most: number,
  fault: Fault,
  serverOf: (url: string) => string,
) {
  return z
    .array(checked("a server's URL", fault), mustBe("a list"))
    .max(most, { error: `must be at most ${most} servers` })
    .superRefine((urls, context) =>
      refuseRepeats(urls.map(serverOf), context, "is a server that stands in the list already"),
    )
    .meta({ description })
    .exactOptional();
}

function listWithout(
  description: string,
  expected: string,
  fault: Fault,
  identity: (value: string) => string,
) {
  return z
    .array(checked(expected, fault), mustBe("a list"))
    .superRefine((values, context) => refuseRepeats(values.map(identity), context))
    .meta({ description })
    .exactOptional();
}

/** RFC 9110 §9.1: methods are case-sensitive, so `post` would match nothing that a client sends. */
export function methods(description: string) {
  return list(description, "a method such as POST", methodFault);
}

function methodFault(value: string): string | undefined {
  if (!/^[A-Z][A-Z-]{0,31}$/u.test(value)) return "must be a method in capitals, such as POST";
  return value === "CONNECT" ? "is never forwarded; leave it out" : undefined;
}

/** Final statuses, none of them twice. 1xx is no answer and cannot be listed. */
export function statuses(description: string) {
  return z
    .array(wholeNumber(200, 599), mustBe("a list of statuses"))
    .superRefine((values, context) => refuseRepeats(values, context))
    .meta({ description })
    .exactOptional();
}

/** A list of statuses, or the word in its place. */
export function statusesOr<const Word extends string>(description: string, word: Word) {
  return z
    .union(
      [
        z.literal(word),
        z
          .array(wholeNumber(200, 599))
          .superRefine((values, context) => refuseRepeats(values, context)),
      ],
      {
        error: ({ input }) => `must be a list of statuses or ${word}, not ${kindOf(input)}`,
      },
    )
    .meta({ description })
    .exactOptional();
}

/** Keys arrive as text whether or not they are quoted in the file. */
export function statusMap(description: string) {
  return z
    .record(z.string(), wholeNumber(200, 599), mustBe("a mapping of statuses"))
    .superRefine((map, context) => {
      for (const key of Object.keys(map)) {
        if (/^[2-5]\d\d$/u.test(key)) continue;
        const message = "must be a status between 200 and 599";
        context.addIssue({ code: "custom", path: [key], message });
      }
    })
    .meta({ description, propertyNames: { pattern: "^[2-5][0-9][0-9]$" } })
    .exactOptional();
}

/** A mapping of its own keys and no others. */
export function group<Shape extends z.ZodRawShape>(description: string, shape: Shape) {
  return z.strictObject(shape, mustBe("a mapping")).meta({ description }).exactOptional();
}

/** A list of mappings. `item` comes as a group, which may be left out; an element may not. */
export function listOf<Item extends z.ZodType>(
  description: string,
  item: z.ZodExactOptional<Item>,
) {
  return z.array(item.unwrap(), mustBe("a list")).meta({ description }).exactOptional();
}

/** The file itself: the one mapping that is always there. */
export function root<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, mustBe("a mapping"));
}

function wholeNumber(least: number, most: number) {
  const range = `a whole number between ${least} and ${most}`;
  return z
    .int(mustBe(range))
    .min(least, { error: `must be ${range}` })
    .max(most, { error: `must be ${range}` });
}

/** A repeated entry is most likely one that was meant to be changed after copying. */
function refuseRepeats(
  values: readonly (string | number)[],
  context: { addIssue(issue: { code: "custom"; path: number[]; message: string }): void },
  message = "stands in the list twice",
): void {
  for (const [index, value] of values.entries()) {
    if (values.indexOf(value) === index) continue;
    context.addIssue({ code: "custom", path: [index], message });
  }
}
