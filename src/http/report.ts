/** How a turn that never reached a route, or failed on its way, is told to the observer. Pure. */
import type { IncomingMessage } from "node:http";
import type { Outcome } from "../core/outcome.ts";
import type { ExchangeReport } from "../core/ports.ts";
import type { Problem } from "../core/problem.ts";

/** `startedMs` is on `performance.now()`. Without a request, the parser got none out of what was sent. */
export function reportOf(
  req: IncomingMessage | undefined,
  outcome: Outcome,
  status: number,
  startedMs: number,
  error?: unknown,
): ExchangeReport {
  // Exactly what the client sent: the query, which may carry secrets, is cut off here.
  const target = req?.url ?? "";
  return {
    route: "none",
    method: req?.method ?? "-",
    // An absolute target may carry credentials.
    path: target.startsWith("/") ? (target.split(/[?#]/, 1)[0] ?? "-") : "-",
    outcome,
    status,
    durationMs: performance.now() - startedMs,
    ...(error !== undefined && { cause: causeOf(error) }),
  };
}

/** The word for a refusal by the listener. */
export function outcomeOf(problem: Problem): "key-invalid" | "request-invalid" {
  return problem.code === "key-invalid" ? "key-invalid" : "request-invalid";
}

/** The error's code or name alone: its message may quote what was sent. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return "not an error";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}
