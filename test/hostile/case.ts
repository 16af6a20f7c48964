/** One case of the corpus, and the marks in its bytes. What is expected of it stands in the table, not here. */
import type { Field, Framing } from "./reader.ts";

/** As an ordinary request begins. */
export const START = "<M> <P> HTTP/1.1\r\nHost: gateway.test\r\n<K>";

export type Case = Refused | Forwarded;

interface Written {
  /** Unique. */
  readonly name: string;
  /** latin1. `<M>` method, `<P>` path, `<K>` key and connection fields. */
  readonly bytes: string;
  readonly options: CaseOptions;
}

export interface CaseOptions {
  /** The case says its method itself: it is run with one method, not five. */
  readonly ownMethod?: boolean;
  /** The case is about the key: it is run once, and says the key itself. */
  readonly ownKey?: boolean;
  /** Upstreams that refuse it themselves, so that there is nothing to see behind them. */
  readonly notBefore?: readonly string[];
  /** Comes from an address that is believed about X-Forwarded-*. */
  readonly trusted?: boolean;
}

/** One answer with this status, and the connection ends. Nothing of it reaches the upstream as a whole request. */
export interface Refused extends Written {
  readonly kind: "refused";
  /** One of them: which, depends on whether the parser or the gateway sees it first. */
  readonly statuses: readonly number[];
}

/** It reaches the upstream once, exactly so; the request behind it is another one. */
export interface Forwarded extends Written {
  readonly kind: "forwarded";
  readonly expected: Expected;
}

export interface Expected {
  readonly body: string;
  /** Of a request that passes through; a guarded one is framed anew. */
  readonly framing: Framing;
  /** Default: the path of the case. */
  readonly target?: string;
  /** Fields that must arrive like this. */
  readonly fields?: readonly Field[];
  /** Fields that must not arrive, lower-case. */
  readonly without?: readonly string[];
  /** The connection ends with it, whatever the client says of it. */
  readonly ends?: boolean;
}

export function refused(
  name: string,
  status: number | readonly number[],
  bytes: string,
  options: CaseOptions = {},
): Refused {
  const statuses = typeof status === "number" ? [status] : status;
  return { kind: "refused", name, statuses, bytes, options };
}

export function forwarded(
  name: string,
  bytes: string,
  expected: Expected,
  options: CaseOptions = {},
): Forwarded {
  return { kind: "forwarded", name, bytes, expected, options };
}
