/**
 * What spin is asked: the protocol in several sizes, all of whose runs must keep every property, and the protocol with
 * one thing done wrong, where spin must find the property that this breaks. Runs nothing.
 */

export interface Model {
  readonly name: string;
  /** What is allowed to happen in it. */
  readonly claim: string;
  /** For `spin -D…`; `protocol.pml` says what each means. */
  readonly defines: readonly string[];
  /** The property that must be found broken; `undefined`: none may be. */
  readonly breaks?: string;
}

/** Nothing dies and no lease is outlived, whatever becomes of the store's calls. Then more can be promised. */
const CALM = ["CRASHES=0", "CALM"];
/** The same, and the store executes a call at once or never. */
const PUNCTUAL = [...CALM, "PUNCTUAL", "FAULTS=3"];
const FAULT_FREE = ["CRASHES=0", "FAULTS=0", "PUNCTUAL", "FAULT_FREE"];

/** Two gateways that share three tries, and two crashes. */
export const SOUND: readonly Model[] = [
  {
    name: "block",
    claim: "crashes, pauses, store calls lost, failed or executed at any later time",
    defines: ["PAUSES"],
  },
  {
    name: "block, a key that is reused",
    claim:
      "crashes, pauses, up to three store calls lost or failed, and one try is another request",
    defines: ["PAUSES", "REUSE", "PUNCTUAL", "FAULTS=3"],
  },
  {
    name: "resend",
    claim: "crashes, pauses, a store call lost, failed or executed at any later time",
    defines: ["PAUSES", "RESEND", "FAULTS=1"],
  },
  {
    name: "resend, two tries",
    claim: "crashes, pauses, store calls lost, failed or executed at any later time",
    defines: ["PAUSES", "RESEND", "TRIES=2"],
  },
  {
    name: "probe",
    claim:
      "a crash, pauses, a store call lost, failed or late, what the upstream has it may yet do",
    defines: ["PAUSES", "PROBE", "CRASHES=1", "FAULTS=1"],
  },
  {
    name: "block, calm",
    claim: "store calls lost, failed or executed at any later time, nothing else",
    defines: CALM,
  },
  {
    name: "resend, calm",
    claim: "up to three store calls lost or failed, nothing else",
    defines: [...PUNCTUAL, "RESEND"],
  },
  { name: "block, fault-free", claim: "nothing goes wrong", defines: FAULT_FREE },
  { name: "resend, fault-free", claim: "nothing goes wrong", defines: [...FAULT_FREE, "RESEND"] },
];

const wrong = (define: string, claim: string, breaks: string, ...others: string[]): Model => ({
  name: define.toLowerCase().replaceAll("_", " "),
  claim,
  defines: [...others, define],
  breaks,
});

const BLOCK = ["PAUSES"];
const RESEND = ["PAUSES", "RESEND"];
const PROBE = ["PAUSES", "PROBE", "FAULTS=1"];
const FEW_FAULTS = ["PUNCTUAL", "FAULTS=1"];

export const WRONG: readonly Model[] = [
  wrong(
    "NAIVE_TAKEOVER",
    "whoever finds the lease over takes the key over",
    "executed_twice",
    ...BLOCK,
  ),
  wrong("LOSE_CLAIM", "the store loses a claim that it has granted", "executed_twice", ...BLOCK),
  wrong(
    "LOSE_COMPLETION",
    "the store loses a completion that it has acknowledged",
    "completion_lost",
    ...BLOCK,
  ),
  wrong("STALE_READ", "a claim is judged by a replica", "executed_twice", ...BLOCK),
  wrong(
    "LEASE_IS_RETENTION",
    "the record is forgotten when the lease is over",
    "executed_twice",
    ...BLOCK,
  ),
  wrong(
    "COMPLETE_WITHOUT_TOKEN",
    "whoever comes completes the record",
    "executed_after_recorded",
    ...RESEND,
  ),
  wrong("RELEASE_WITHOUT_TOKEN", "whoever comes releases the record", "executed_twice", ...BLOCK),
  wrong(
    "MARK_WITHOUT_TOKEN",
    "whoever comes marks it unknown",
    "executed_after_recorded",
    ...RESEND,
    ...FEW_FAULTS,
  ),
  wrong(
    "RELEASE_FORGETS_FENCE",
    "a resend's release forgets the record",
    "executed_twice",
    ...RESEND,
    ...FEW_FAULTS,
  ),
  wrong(
    "SETTLE_WHATEVER_IS_UNKNOWN",
    "what a probe found out settles whichever attempt is unknown by then",
    "executed_twice",
    ...PROBE,
  ),
  wrong(
    "NOT_FOUND_COUNTS_AT_ONCE",
    "a 404 frees the key while the first request may be at work",
    "executed_twice",
    ...PROBE,
  ),
  wrong(
    "CLAIM_NOT_IDEMPOTENT",
    "the second ask is answered busy by the first",
    "busy_with_itself",
    ...PUNCTUAL,
  ),
  wrong(
    "FINGERPRINT_IGNORED",
    "another request under the same key counts as the same",
    "foreign_answer",
    "PAUSES",
    "REUSE",
  ),
  wrong("BYPASS", "sent without a claim where the store is away", "unclaimed", ...BLOCK),
  wrong("NO_LAST_LOOK", "sent without a look at the lease", "executed_after_recorded", ...RESEND),
  wrong(
    "PAUSE_AFTER_LOOK",
    "a pause between the look at the lease and the first byte",
    "executed_after_recorded",
    ...RESEND,
  ),
  wrong(
    "CLOCK_JUMP",
    "the store's clock jumps ahead of its gateways'",
    "executed_after_recorded",
    ...RESEND,
  ),
  wrong("ANSWER_BEFORE_SETTLE", "told before it is recorded", "completion_lost", ...BLOCK),
  wrong("RELEASE_AFTER_RESET", "a reset connection frees the key", "executed_twice", ...BLOCK),
  wrong("RETRY_AFTER_RESET", "a reset connection is tried again", "executed_twice", ...BLOCK),
  wrong("SHORT_LEASE", "the lease is shorter than the call", "overlap", ...PUNCTUAL, "RESEND"),
  wrong(
    "NO_RELEASE_LATER",
    "a claim that nobody heard of is not given back",
    "unsent_unknown",
    ...PUNCTUAL,
  ),
  wrong(
    "RELEASE_ONCE",
    "a claim is given back once, and executed by the store after that",
    "unsent_unknown",
    ...CALM,
  ),
  wrong(
    "RELEASE_OWNED_ONCE",
    "the second of two asks is granted and released, and the first executed after that",
    "unsent_unknown",
    ...CALM,
  ),
  wrong(
    "NO_COMPLETE_LATER",
    "a completion that nobody heard of is not tried again",
    "unrecorded",
    ...PUNCTUAL,
  ),
];

export const CI_MODELS: readonly Model[] = [...SOUND, ...WRONG];

/** Too large for the suite. */
const LARGE: readonly Model[] = [
  {
    name: "block, three gateways",
    claim: "three crashes, pauses, store calls lost, failed or executed at any later time",
    defines: ["PAUSES", "GATEWAYS=3", "CRASHES=3"],
  },
  {
    name: "block, three gateways, four tries",
    claim: "three crashes, pauses, up to three store calls lost, failed or late",
    defines: ["PAUSES", "GATEWAYS=3", "TRIES=4", "CRASHES=3", "FAULTS=3"],
  },
  {
    name: "probe, two late calls",
    claim: "two crashes, pauses, up to two store calls lost, failed or late",
    defines: ["PAUSES", "PROBE", "FAULTS=2"],
  },
  {
    name: "resend, two late calls",
    claim: "crashes, pauses, up to two store calls lost, failed or late",
    defines: ["PAUSES", "RESEND", "FAULTS=2"],
  },
  {
    name: "resend, three gateways",
    claim: "crashes, pauses, up to two store calls lost, failed or late",
    defines: ["PAUSES", "RESEND", "GATEWAYS=3", "FAULTS=2"],
  },
];

export const ALL_MODELS: readonly Model[] = [...CI_MODELS, ...LARGE];
