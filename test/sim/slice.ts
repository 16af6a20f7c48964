/** The part of a trace that has to do with a violation: the lines of its keys and of its resource, and every fault. */
import type { HistoryEvent } from "../checker/history.ts";
import type { Simulated } from "./simulate.ts";

export function sliceOf({ violations, history, trace }: Simulated): readonly string[] {
  const [violation] = violations;
  if (violation === undefined) return [];
  const subjects = subjectsOf(violation.text, history.events);
  const numbers = new Set<string>();
  for (const event of history.events) {
    const name = "key" in event ? `${event.scope}/${event.key}` : undefined;
    if (name === undefined || !subjects.has(name)) continue;
    if (event.kind === "request") numbers.add(`request ${event.request}`);
    if (event.kind === "execution") numbers.add(`execution ${event.execution}`);
  }
  const wanted = [...subjects].map((subject) => ` ${subject} `);
  return trace.filter(
    (line) =>
      wanted.some((subject) => line.includes(subject)) ||
      [...numbers].some((number) => new RegExp(`${number}\\b`).test(line)) ||
      / (fault|starts|faults-over) +(g\d|store)? /.test(line),
  );
}

/** Keys and resources that the violation names, itself or by the numbers of requests and executions. */
function subjectsOf(text: string, events: readonly HistoryEvent[]): ReadonlySet<string> {
  const numbers = (what: string): ReadonlySet<number> =>
    new Set(
      [...text.matchAll(new RegExp(`${what}s? (\\d+)(?:[^\\d]*? and (\\d+))?`, "g"))]
        .flatMap(([, one, other]) => [one, other])
        .map(Number),
    );
  const [requests, executions] = [numbers("request"), numbers("execution")];
  const subjects = new Set<string>();
  for (const event of events) {
    if (event.kind !== "request" && event.kind !== "execution") continue;
    const name = `${event.scope}/${event.key}`;
    const named =
      event.kind === "request" ? requests.has(event.request) : executions.has(event.execution);
    if (
      named ||
      text.includes(`key ${event.key} of ${event.scope} `) ||
      text.includes(`of ${name} `)
    ) {
      subjects.add(name);
      if (event.kind === "execution" && event.resource !== undefined) {
        subjects.add(event.resource.id);
      }
    }
  }
  return subjects;
}
