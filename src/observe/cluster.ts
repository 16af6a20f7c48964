/**
 * One scrape for all workers of a `node:cluster`: the primary asks each worker for a snapshot of its metrics and adds
 * them up. prom-client's own `clusterMetrics()` is not used: there one silent worker fails every scrape, a worker that
 * ends in the middle costs the full time-out, and a replaced worker makes counters fall. Knows processes and messages;
 * what the metrics mean is `metrics.ts`.
 */
import cluster, { type Worker } from "node:cluster";
import type { Metrics } from "./metrics.ts";
import { AggregatorRegistry } from "./prom-client.ts";
import { sumSnapshots, type Exposition, type Snapshot } from "./snapshots.ts";

const ASK = "idempotency-gateway:metrics?";
const ANSWER = "idempotency-gateway:metrics!";

/** `scrape` ties answers to questions: a late answer to an earlier scrape is not taken for this one. */
interface Ask {
  readonly type: typeof ASK;
  readonly scrape: number;
}

interface Answer {
  readonly type: typeof ANSWER;
  readonly scrape: number;
  readonly snapshot: Snapshot;
}

/** In a worker: answers the primary's scrapes from now on. Returns what ends that. */
export function answerScrapes(
  metrics: Pick<Metrics, "snapshot">,
  failed: (error: unknown) => void,
): () => void {
  const onMessage = (message: unknown): void => {
    if (!isMessage<Ask>(message, ASK)) return;
    metrics
      .snapshot()
      .then((snapshot) => {
        const answer: Answer = { type: ANSWER, scrape: message.scrape, snapshot };
        // The primary may be gone by now; the callback keeps that from becoming an 'error' event that ends the worker.
        process.send?.(answer, undefined, {}, (error) => {
          if (error !== null) failed(error);
        });
      })
      .catch(failed);
  };
  process.on("message", onMessage);
  return () => {
    process.off("message", onMessage);
  };
}

type Sum = ReturnType<typeof sumSnapshots>;

export interface ClusterMetrics {
  /** Resolves within the time-out, whatever the workers do. A silent worker counts with its last snapshot. */
  exposition(): Promise<Exposition>;
  /** The same as data. */
  snapshot(): Promise<Snapshot>;
  close(): void;
}

/** In the primary: one per process, created before the first worker is forked. */
export function createClusterMetrics(options: { readonly timeoutMs: number }): ClusterMetrics {
  /** What each living worker said last, by worker id. */
  const latest = new Map<number, Snapshot>();
  /** What workers that have ended leave behind, folded into one now and then. */
  const departed: Snapshot[] = [];
  let scrapes = 0;
  let running: Promise<Sum> | undefined;

  const onExit = (worker: Worker): void => {
    const last = latest.get(worker.id);
    latest.delete(worker.id);
    if (last !== undefined) departed.push(lastingOf(last));
  };
  cluster.on("exit", onExit);

  async function scrape(): Promise<Sum> {
    const number = (scrapes += 1);
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    const answers = await Promise.all(
      workers.map(async (worker) => {
        const snapshot = await ask(worker, number, options.timeoutMs);
        // A worker that has ended meanwhile was retired with what it said before, and must not count twice.
        if (snapshot !== undefined && !worker.isDead()) latest.set(worker.id, snapshot);
        return { worker, snapshot };
      }),
    );
    const present = answers.filter(({ worker }) => worker.isConnected());
    const silent = present.filter(({ snapshot }) => snapshot === undefined).length;
    // Both lists are read in one go: a worker that ends between two reads would be in neither.
    const parts = [...departed, ...latest.values()];
    const sum = sumSnapshots(parts, { answering: present.length - silent, silent });
    await foldDeparted();
    return sum;
  }

  /** Keeps a cluster whose workers end over and over from keeping a snapshot of each. */
  async function foldDeparted(): Promise<void> {
    const count = departed.length;
    if (count < 2) return;
    const sum = await addUp(departed.slice(0, count));
    departed.splice(0, count, sum);
  }

  /** Scrapes that come while one is running share it, so that no number of them asks the workers more often. */
  function shared(): Promise<Sum> {
    running ??= scrape().finally(() => {
      running = undefined;
    });
    return running;
  }

  return {
    exposition: async () => (await shared()).exposition(),
    snapshot: async () => (await shared()).snapshot(),
    close() {
      cluster.off("exit", onExit);
    },
  };
}

/** Resolves with `undefined` when the worker ends, cannot be told, or does not answer in time. */
function ask(worker: Worker, scrape: number, timeoutMs: number): Promise<Snapshot | undefined> {
  if (!worker.isConnected()) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const settle = (snapshot: Snapshot | undefined): void => {
      clearTimeout(timer);
      worker.off("message", onMessage);
      worker.off("disconnect", onGone);
      resolve(snapshot);
    };
    const onMessage = (message: unknown): void => {
      if (isMessage<Answer>(message, ANSWER) && message.scrape === scrape) {
        settle(message.snapshot);
      }
    };
    const onGone = (): void => settle(undefined);
    const timer = setTimeout(onGone, timeoutMs);
    worker.on("message", onMessage);
    worker.on("disconnect", onGone);
    const question: Ask = { type: ASK, scrape };
    // With a callback a broken channel is reported here; without one it is an 'error' event that ends the primary.
    worker.send(question, (error) => {
      if (error !== null) settle(undefined);
    });
  });
}

/** The channel carries other rooms' messages too; only the type tells them apart. */
function isMessage<M extends Ask | Answer>(message: unknown, type: M["type"]): message is M {
  return (
    typeof message === "object" && message !== null && "type" in message && message.type === type
  );
}

const LASTING_TYPES: ReadonlySet<string> = new Set(["counter", "histogram"]);

/**
 * What stays true of a worker that has ended: its counters and histograms. Without them the sum would fall when a
 * worker is replaced, and `rate()` would take the fall for a restart and count everything again.
 */
function lastingOf(snapshot: Snapshot): Snapshot {
  return snapshot.filter(({ type }) => LASTING_TYPES.has(String(type)));
}

/** Several snapshots as one. */
function addUp(snapshots: readonly Snapshot[]): Promise<Snapshot> {
  return AggregatorRegistry.aggregate([...snapshots]).getMetricsAsJSON();
}
