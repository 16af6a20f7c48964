/** How long a lease may be trusted by its holder. Reads no clock and holds nothing. */

/** Two clocks that keep time differ by far less; it is what redlock allows, too. */
const DRIFT_SHARE = 0.01;
/** Milliseconds for clocks that tell whole ones. */
const ROUNDING_MS = 2;

/**
 * When a lease of `leaseMs` is over at the earliest, on the clock of `askedMs`, the moment before it was asked for:
 * whoever grants it starts to count later.
 */
export function leaseEnd(askedMs: number, leaseMs: number): number {
  return askedMs + leaseMs - Math.ceil(leaseMs * DRIFT_SHARE) - ROUNDING_MS;
}
