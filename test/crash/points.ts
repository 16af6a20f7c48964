/**
 * The failpoints, in the order of the line, and what is true of a request whose gateway dies there: how often the
 * upstream has it whole, what its client has heard, and what a retry is told.
 */

/** Reached within the process, by the program of the tests. */
export type InnerPoint =
  | "before-claim"
  | "after-claim"
  | "before-first-byte"
  | "before-complete"
  | "after-complete"
  | "before-reply"
  | "after-reply"
  | "background-write"
  | "background-written"
  | "before-settle"
  | "after-settle";

/** Seen from outside, on what people run: by the wire to the upstream, the upstream, or the log. */
type OuterPoint = "mid-request" | "waiting" | "mid-response" | "during-stop";

export type Point = InnerPoint | OuterPoint;

export interface Truth {
  readonly executions: 0 | 1;
  /** `Idempotency-Status` of the first reply; `undefined` where there is none. */
  readonly heard: "executed" | "not-recorded" | undefined;
  readonly record: "absent" | "in-flight" | "unknown" | "completed";
}

const untold = { heard: undefined } as const;

export const POINTS: Readonly<Record<Point, Truth>> = {
  "before-claim": { ...untold, executions: 0, record: "absent" },
  "after-claim": { ...untold, executions: 0, record: "in-flight" },
  "before-first-byte": { ...untold, executions: 0, record: "in-flight" },
  "mid-request": { ...untold, executions: 0, record: "in-flight" },
  waiting: { ...untold, executions: 1, record: "in-flight" },
  "mid-response": { ...untold, executions: 1, record: "in-flight" },
  "before-complete": { ...untold, executions: 1, record: "in-flight" },
  "after-complete": { ...untold, executions: 1, record: "completed" },
  "before-reply": { ...untold, executions: 1, record: "completed" },
  "after-reply": { executions: 1, heard: "executed", record: "completed" },
  "during-stop": { ...untold, executions: 1, record: "in-flight" },
  "background-write": { executions: 1, heard: "not-recorded", record: "in-flight" },
  "background-written": { executions: 1, heard: "not-recorded", record: "completed" },
  "before-settle": { ...untold, executions: 1, record: "unknown" },
  "after-settle": { ...untold, executions: 1, record: "completed" },
};

const OUTER: ReadonlySet<string> = new Set<OuterPoint>([
  "mid-request",
  "waiting",
  "mid-response",
  "during-stop",
]);

export function isOuter(point: Point): boolean {
  return OUTER.has(point);
}

/** Reached by a retry, on a route with a probe: the first request met an upstream that worked and did not answer. */
export function isProbed(point: Point): boolean {
  return point === "before-settle" || point === "after-settle";
}

/** Thirteen places; those of a write in the background and of a probe's are taken before it and after it by turns. */
export const PLACES: readonly (readonly Point[])[] = [
  ["before-claim"],
  ["after-claim"],
  ["before-first-byte"],
  ["mid-request"],
  ["waiting"],
  ["mid-response"],
  ["before-complete"],
  ["after-complete"],
  ["before-reply"],
  ["after-reply"],
  ["during-stop"],
  ["background-write", "background-written"],
  ["before-settle", "after-settle"],
];
