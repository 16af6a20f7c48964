/**
 * Which of the known names somebody meant. Suggests only what is near enough to be a slip of the fingers: a wrong
 * suggestion costs more than none.
 */
import { distance } from "fastest-levenshtein";

/**
 * The known name nearest to `name`, or `undefined` when none is near. Of two equally near ones the one that begins
 * more like `name` wins: `form` is `format` cut short rather than `from` with two letters swapped.
 */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const asked = name.toLowerCase();
  const furthest = Math.max(2, Math.floor(asked.length / 3));
  const [best] = known
    .map((candidate) => ({
      candidate,
      edits: distance(asked, candidate.toLowerCase()),
      shared: sharedStart(asked, candidate.toLowerCase()),
    }))
    .filter(({ candidate, edits, shared }) => {
      // One begins with the other: `warning` is `warn` written out.
      if (shared >= 3 && (shared === asked.length || shared === candidate.length)) return true;
      // A name of two letters is within two edits of every other one: at least half must stay.
      return edits <= furthest && edits * 2 <= candidate.length;
    })
    .toSorted((a, b) => a.edits - b.edits || b.shared - a.shared);
  return best?.candidate;
}

function sharedStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}
