/**
 * The rolls on Redis: one sorted set per scope. A roll and the records on it lie in different slots of a Cluster, so no
 * script sees both: a full roll names entries, their records are looked for, and what has none is struck in the next
 * call. Decides nothing but what to look for: the scripts have.
 */
import type { Roll, RollAnswer, RollEntry } from "../core/roll-ports.ts";
import { RecordCorrupt } from "../core/ports.ts";
import { within } from "./deadline.ts";
import { asBytes, asNumber, oneOf, unexpected } from "./redis-call.ts";
import type { Reply, RunScript } from "./redis-call.ts";
import { sharedRounds } from "./rounds.ts";

const ID_BYTES = 32;

/** What was found when a full roll was looked at. */
interface Look {
  readonly gone: Buffer;
  /** On Redis's clock. */
  readonly actUntilMs: number;
  readonly roomInMs: number | undefined;
}

const NOTHING: Look = { gone: Buffer.alloc(0), actUntilMs: 0, roomInMs: undefined };

/** `run` puts the scripts on the keys of rolls, `onRecord` on those of records. Each call settles within `timeoutMs`. */
export function redisRoll(run: RunScript, onRecord: RunScript, timeoutMs: number): Roll {
  const rounds = sharedRounds<Look>();
  let turn = 0;

  function ask({ scope, id, how, most, keepMs, claimMs }: RollEntry, look: Look): Promise<Reply> {
    const { gone, actUntilMs } = look;
    return run("enterRoll", scope + id, how, most, keepMs, claimMs, gone, actUntilMs, turn);
  }

  async function enter(entry: RollEntry): Promise<RollAnswer> {
    const first = await ask(entry, NOTHING);
    if (first.word !== "full") return readAnswer(first, NOTHING);
    turn = (turn + 1) % 1_000_000;
    const [ids, nowMs] = [asBytes(first.data[0]), asNumber(first.data[1])];
    // An entry whose claim comes from now on is marked for longer than that.
    const actUntilMs = nowMs + entry.claimMs;
    const look = await rounds(entry.scope, () => lookFor(ids, actUntilMs));
    return readAnswer(await ask(entry, look), look);
  }

  async function lookFor(ids: Buffer, actUntilMs: number): Promise<Look> {
    const each = Array.from({ length: ids.length / ID_BYTES }, (_, n) =>
      ids.subarray(n * ID_BYTES, (n + 1) * ID_BYTES),
    );
    const left = await Promise.all(each.map((id) => standsFor(onRecord, id.toString("hex"))));
    const gone = Buffer.concat(each.filter((_, n) => left[n] === "gone"));
    const ends = left.filter((found) => typeof found === "number");
    return { gone, actUntilMs, roomInMs: ends.length > 0 ? Math.min(...ends) : undefined };
  }

  return {
    enterRoll: (entry) => within(timeoutMs, enter(entry)),
    strikeRoll: (scope, id, mark) => within(timeoutMs, strike(scope, id, mark)),
  };

  async function strike(scope: string, id: string, mark: number): Promise<void> {
    if ((await standsFor(onRecord, id)) !== "gone") return;
    oneOf(await run("strikeRoll", scope + id, mark), "done", "kept");
  }
}

/** `run` puts the script on the keys of records. */
async function standsFor(run: RunScript, id: string): Promise<number | "gone" | "unreadable"> {
  try {
    const { word, data } = await run("standing", id);
    if (word === "absent") return "gone";
    if (word === "found") return Math.max(0, asNumber(data[0]));
    throw unexpected(word);
  } catch (error) {
    // Something stands there; what it is the claim that meets it tells.
    if (error instanceof RecordCorrupt) return "unreadable";
    throw error;
  }
}

function readAnswer({ word, data }: Reply, { roomInMs }: Look): RollAnswer {
  switch (word) {
    case "listed":
      return { kind: "listed" };
    case "entered":
      return { kind: "entered", mark: asNumber(data[0]) };
    case "full":
      return { kind: "full", roomInMs };
  }
  throw unexpected(word);
}
