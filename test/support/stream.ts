/** A body that is still coming, from a generator; `onCancel` hears when the rest is let go. */
import type { BodyStream } from "../../src/core/ports.ts";

export function bodyStream(
  chunks: AsyncIterable<Uint8Array>,
  onCancel: () => void = () => undefined,
): BodyStream {
  return { [Symbol.asyncIterator]: () => chunks[Symbol.asyncIterator](), cancel: onCancel };
}
