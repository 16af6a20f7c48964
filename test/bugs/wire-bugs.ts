/** Bugs that take real sockets, LMDB or Lua to be seen. See `bugs.ts`. */
import type { Bug } from "./bugs.ts";

const UPSTREAM = "http/upstream.ts";

export const WIRE_BUGS: readonly Bug[] = [
  {
    name: "a request whose connection is reset is sent again",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: UPSTREAM,
        search: `    const cause = causeOf(error);
    if (this.#controller === undefined) {`,
        replace: `    const cause = causeOf(error);
    if (cause === "UND_ERR_SOCKET" && this.#status === 0) {
      clearTimeout(this.#deadline);
      return this.start();
    }
    if (this.#controller === undefined) {`,
      },
    ],
  },
  {
    name: "a reset counts as not sent",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: UPSTREAM,
        search: `    if (this.#controller === undefined) {
      const status =`,
        replace: `    if (this.#status === 0) {
      const status =`,
      },
    ],
  },
  {
    name: "a call that is given up at its deadline counts as not sent",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: UPSTREAM,
        search: `    this.#settle({ kind: "unknown", reason: "timeout", cause: "deadline-over" });`,
        replace: `    this.#settle({ kind: "not-sent", status: 504, cause: "deadline-over" });`,
      },
    ],
  },
  {
    name: "an answer that is cut short is recorded as far as it came",
    hunt: "wire",
    rule: "foreign-answer",
    edits: [
      {
        file: UPSTREAM,
        search: `    const reason = this.#status === 0 ? "reset" : "truncated";`,
        replace: `    if (this.#status > 0) return this.#settleAnswered();
    const reason = this.#status === 0 ? "reset" : "truncated";`,
      },
    ],
  },
  {
    name: "a reset counts as the end of an answer that ends with its connection",
    hunt: "wire",
    rule: "foreign-answer",
    edits: [
      {
        file: UPSTREAM,
        search: `broken.code = "UND_ERR_SOCKET";`,
        replace: `broken.code = "ECONNRESET";`,
      },
    ],
  },
  {
    name: "an answer over the limit is recorded up to the limit",
    hunt: "wire",
    rule: "foreign-answer",
    edits: [
      {
        file: UPSTREAM,
        search: `    if (this.#received > this.#limits.responseBytes) this.#startStream();`,
        replace: `    if (this.#received > this.#limits.responseBytes) this.#settleAnswered();`,
      },
    ],
  },
  {
    name: "the query is left out of the fingerprint",
    hunt: "wire",
    rule: "foreign-answer",
    edits: [
      {
        file: "core/fingerprint.ts",
        search: `  digest.add(input.target);`,
        replace: `  digest.add(input.target.split("?")[0]);`,
      },
    ],
  },
  {
    name: "a repeated header field is recorded once",
    hunt: "wire",
    rule: "foreign-answer",
    edits: [
      {
        file: "store/codec.ts",
        search: `packr.pack([status, headers, body`,
        replace: `packr.pack([status, Object.entries(Object.fromEntries(headers)), body`,
      },
    ],
  },
  {
    name: "LMDB: the record is read before the write transaction",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: "store/embedded.ts",
        search: `    const decision = await transact(() => {
      const bytes = records.getBinary(id);`,
        replace: `    const bytes = await read(() => records.getBinary(id));
    const decision = await transact(() => {`,
      },
    ],
  },
  {
    name: "Lua: a claim in flight is taken over",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: "store/scripts/claim.lua",
        search: `    return { 'busy', record.value, now }
  end`,
        replace: `  end`,
      },
      {
        file: "store/scripts/claim.lua",
        search: `  if ARGV[9] ~= 'resend' then`,
        replace: `  if state == 'unknown' and ARGV[9] ~= 'resend' then`,
      },
    ],
  },
  {
    name: "Lua: a mismatch is told only once the first request has ended",
    hunt: "wire",
    rule: "mismatch-hidden",
    edits: [
      {
        file: "store/scripts/claim.lua",
        search: `  if record.fingerprint ~= fingerprint then return`,
        replace: `  if state ~= 'in-flight' and record.fingerprint ~= fingerprint then return`,
      },
    ],
  },
  {
    name: "Lua: an unknown outcome is resent without a look at the fingerprint",
    hunt: "wire",
    rule: "mismatch-executed",
    edits: [
      {
        file: "store/scripts/claim.lua",
        search: `  if record.fingerprint ~= fingerprint then return`,
        replace: `  if state ~= 'unknown' and record.fingerprint ~= fingerprint then return`,
      },
    ],
  },
  {
    name: "Lua: a completion without a look at the token",
    hunt: "wire",
    rule: "answers-differ",
    edits: [
      {
        file: "store/scripts/record.lua",
        search: `  if not state or record.token ~= token then return { 'lost' } end`,
        replace: `  if not state then return { 'lost' } end`,
      },
    ],
  },
  {
    name: "Lua: the release of a resend forgets the earlier send",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: "store/scripts/release.lua",
        search: `if record.fence == 1 then`,
        replace: `if record.fence >= 1 then`,
      },
    ],
  },
  {
    name: "Lua: an unknown outcome is written over a completion, whoever says so",
    hunt: "wire",
    rule: "completion-lost",
    edits: [
      {
        file: "store/scripts/mark-unknown.lua",
        search: `if not mine or record.state == 'completed' then return { 'lost' } end
if record.state == 'in-flight' then`,
        replace: `if record and record.state ~= 'unknown' then`,
      },
    ],
  },
];
