/** The words for a stored value that cannot be trusted. What is thrown then is the ports' `RecordCorrupt`. */

/** Why what is stored cannot be trusted; all but the first only where it is, or should be, encrypted. */
export const CORRUPT_REASONS = [
  "damaged",
  "not-authentic",
  "key-unknown",
  "not-encrypted",
] as const;

export type CorruptReason = (typeof CORRUPT_REASONS)[number];
