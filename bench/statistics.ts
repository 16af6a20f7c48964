/** Medians, spreads and quantiles. Pure. */

/** The middle, or the mean of the two in the middle. @throws where there is nothing */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new Error("there is no median of nothing");
  return (low + high) / 2;
}

/** How far the furthest is from the median, as a share of it: 0.05 is 5 % up or down. */
export function spread(numbers: readonly number[]): number {
  const middle = median(numbers);
  if (middle === 0) return 0;
  return Math.max(...numbers.map((n) => Math.abs(n - middle))) / Math.abs(middle);
}

/** The smallest of `sorted` that at least a share `q` does not exceed. @throws where there is nothing */
export function quantile(sorted: Readonly<ArrayLike<number>>, q: number): number {
  const found = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (found === undefined) throw new Error("there is no quantile of nothing");
  return found;
}
