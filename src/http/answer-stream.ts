/** The body of an answer that is told as it comes: at its reader's pace, and let go when nobody wants the rest. */
import { Readable } from "node:stream";
import type { BodyStream } from "../core/ports.ts";

/** `resume` asks for more, `abort` lets the rest go. */
export function newAnswerStream(resume: () => void, abort: (error: Error) => void): Readable {
  const stream = new Readable({
    read: resume,
    destroy: (error, done) => {
      if (!stream.readableEnded) abort(error ?? new Error("let go"));
      done(error);
    },
  });
  // Without a listener an upstream that breaks after the reader has left would end the process. The reader, where
  // there is one, sees the error through its iterator.
  stream.on("error", () => undefined);
  return stream;
}

export function bodyStream(stream: Readable): BodyStream {
  return {
    [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
    cancel: () => void stream.destroy(),
  };
}
