/** What can happen to a stored value, drawn from a seed: each way that bits turn, and each that somebody turns them. */
import { pack } from "msgpackr";
import type { StoredRecord } from "../../src/core/record.ts";
import { encodeRecord } from "../../src/store/codec.ts";
import { sealOf } from "../../src/store/seal.ts";
import type { Random } from "../support/random.ts";

export const DAMAGES = [
  "bit",
  "byte",
  "run",
  "cut",
  "cut-in-front",
  "grown",
  "swapped",
  "renamed",
  "spliced",
  "version",
] as const;
export type Damage = (typeof DAMAGES)[number];

/** Where the id stands: behind version and lengths in a record, behind the version in a cell. */
export interface Kind {
  readonly idAt: number;
}
export const RECORD: Kind = { idAt: 9 };
export const CELL: Kind = { idAt: 1 };

/** `value` damaged; `other` is a sound value of another id. Never equal to `value`. */
export function damaged(
  value: Buffer,
  other: Buffer,
  damage: Damage,
  kind: Kind,
  random: Random,
): Buffer {
  for (;;) {
    const bytes = damageOnce(value, other, damage, kind, random);
    if (!bytes.equals(value)) return bytes;
  }
}

function damageOnce(
  value: Buffer,
  other: Buffer,
  damage: Damage,
  { idAt }: Kind,
  random: Random,
): Buffer {
  const copy = Buffer.from(value);
  const at = random.int(value.length);
  switch (damage) {
    case "bit":
      copy[at] = (copy[at] ?? 0) ^ (1 << random.int(8));
      return copy;
    case "byte":
      copy[at] = random.int(256);
      return copy;
    case "run":
      return copy.fill(
        random.pick([0, 0x0a, 0xff]),
        at,
        Math.min(at + random.between(1, 64), copy.length),
      );
    case "cut":
      return copy.subarray(0, at);
    case "cut-in-front":
      return copy.subarray(random.between(1, value.length - 1));
    case "grown":
      return Buffer.concat([copy, Buffer.alloc(random.between(1, 40), random.int(256))]);
    case "swapped":
      return Buffer.from(other);
    case "renamed": {
      const renamed = Buffer.from(other);
      value.copy(renamed, idAt, idAt, idAt + 32);
      return renamed;
    }
    case "spliced":
      return Buffer.concat([value.subarray(0, at), other.subarray(at)]);
    case "version":
      copy[0] = random.pick([0, 1, 3, 255]);
      return copy;
  }
}

const FORGED_HEADERS: readonly unknown[] = [
  [["X", "a\r\nSet-Cookie: b"]],
  [["X", "a\nb"]],
  [["X", "a\0b"]],
  [["X\r\nY", "a"]],
  [["X", "\u0100"]],
  [["", "a"]],
  [["X", 1]],
  ["X"],
];

/** A completed record with an answer that no gateway would have stored, and with seals that are right. */
export function forged(record: StoredRecord, random: Random): Buffer {
  const bare = encodeRecord({
    ...record,
    state: "completed",
    completedAtMs: 1,
    response: undefined,
  });
  const body = Buffer.from("forged");
  const packed = pack([200, random.pick(FORGED_HEADERS), body.length]);
  const answer = Buffer.concat([sealOf(body), packed]);
  const head = bare.subarray(0, bare.length - 16);
  head.writeUInt32BE(answer.length, 5);
  return Buffer.concat([head, answer, sealOf(head, answer), body]);
}
