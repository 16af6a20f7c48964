/** Everything that one exchange needs, handed over by the composition root. */
import type { Access } from "../core/access-ports.ts";
import type {
  ClaimStore,
  Clock,
  NewToken,
  Observer,
  RecordDesk,
  SettleSignal,
  Upstream,
} from "../core/ports.ts";
import type { ReadJson } from "../core/json-ports.ts";
import type { Cells, Locks } from "../core/resource-ports.ts";
import type { Roll } from "../core/roll-ports.ts";
import type { FindReads, FindRoute } from "../core/route.ts";
import type { ExchangeTrace } from "../core/trace.ts";
import type { Latency } from "./latency.ts";
import type { Prober } from "./prober.ts";
import type { Duplicates } from "./sights.ts";

export interface FlowDeps {
  /** Of this process, `host/pid`: what a record says it was claimed by. */
  readonly name: string;
  readonly findRoute: FindRoute;
  readonly findReads: FindReads;
  readonly readJson: ReadJson;
  readonly store: ClaimStore & Pick<RecordDesk, "inspect"> & SettleSignal & Cells & Roll;
  readonly locks: Pick<Locks, "tryLock">;
  /** Where in-flight keys are locked as well, so that a store that lost a claim does not let two gateways send. */
  readonly keyLocks: Pick<Locks, "tryLock"> | undefined;
  readonly upstream: Upstream;
  readonly clock: Clock;
  readonly newToken: NewToken;
  readonly observer: Observer;
  readonly latency: Latency;
  /** Used by routes with `onUnknown: probe` alone. */
  readonly prober: Prober;
  /** Of this exchange, where traces are kept. */
  readonly trace?: ExchangeTrace;
  readonly duplicates: Duplicates;
  /** What some route wants asked about its callers; `undefined` where none does. */
  readonly access?: Access | undefined;
  /** How many live records each caller may have; `undefined`: as many as it likes, and nobody counts. */
  readonly liveRecords?: number | undefined;
  readonly limits: {
    /** How long a claim's owner is presumed alive. Longer than `deadlineMs`; the configuration checks by how much. */
    readonly leaseMs: number;
    /** Bound of one call to the upstream, from the claim to the last byte of its answer. */
    readonly deadlineMs: number;
    /** For how long after the store's silence a claim may be taken yet. */
    readonly lateClaimMs: number;
    /** How long a resource's lock is held at most: a look at the resource and one call, each up to `deadlineMs`. */
    readonly lockLeaseMs: number;
    /** How long a record is kept that an operator says was executed, whatever its route says. */
    readonly resolvedMs: number;
  };
  /** Takes over work that outlives its exchange; a graceful stop waits for it, a rejection is logged. */
  readonly background: (work: Promise<void>) => void;
}
