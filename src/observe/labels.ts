/**
 * The values that labels may have. Configuration and these lists are all there is: a value that a caller chose would
 * let it add series without end. Outcomes, reasons and operations are `core`'s own lists.
 */

/** All values of the label `result`: what came of reading the configuration again. */
export const RELOAD_RESULTS = ["applied", "unchanged", "refused", "failed"] as const;

/** The label of requests that no route has matched and the defaults guard. */
const DEFAULT_ROUTE = "default";

/** The label of requests that are no route's: passed through, or refused before any was looked for. */
export const NO_ROUTE = "none";

/** All values of the label `route`. */
export function routeLabels(configured: readonly string[]): ReadonlySet<string> {
  return new Set([...configured, DEFAULT_ROUTE, NO_ROUTE]);
}

/** RFC 9110 §9.3 and RFC 5789. Node's parser takes some forty methods, WebDAV's among them. */
const METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
  "TRACE",
  "CONNECT",
]);

/** The method itself where it is one of the usual ones, `OTHER` for the rest. */
export function methodLabel(method: string): string {
  return METHODS.has(method) ? method : "OTHER";
}
