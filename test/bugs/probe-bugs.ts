/** Bugs of the probes. See `bugs.ts`. */
import type { Bug } from "./bugs.ts";

const PROBE = "core/probe.ts";

export const PROBE_BUGS: readonly Bug[] = [
  {
    name: "what a probe found out settles whichever attempt is unknown by then",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: PROBE,
        search: `  if (record?.state !== "unknown" || record.token !== attempt) {`,
        replace: `  if (record?.state !== "unknown" || record.token === \`\${attempt} \`) {`,
      },
    ],
  },
  {
    name: "what a probe found out settles whichever attempt is unknown by then, in Redis",
    hunt: "wire",
    rule: "executed-twice",
    edits: [
      {
        file: "store/scripts/settle-unknown.lua",
        search: `if state_of(record, now) ~= 'unknown' or record.token ~= ARGV[2] then return { 'lost' } end`,
        replace: `if state_of(record, now) ~= 'unknown' then return { 'lost' } end`,
      },
    ],
  },
  {
    name: "a status URL that does not know the key yet frees it",
    hunt: "sim",
    rule: "executed-twice",
    seed: 42,
    edits: [
      {
        file: PROBE,
        search: `        return leftMs > 0`,
        replace: `        return leftMs > releaseAfterMs`,
      },
    ],
  },
  {
    name: "what is still at work counts as the answer",
    hunt: "sim",
    rule: "foreign-answer",
    seed: 228,
    edits: [
      {
        file: PROBE,
        search: `      const whole = isSuccess(status) && !NOT_YET.has(status);`,
        replace: `      const whole = isSuccess(status) && !NOT_YET.has(-status);`,
      },
    ],
  },
  {
    name: "a probe asks in nobody's name although the key is its caller's",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: "flow/probe.ts",
        search: `  const callers = probe.as === "caller" ? headers : [];`,
        replace: `  const callers = probe.as === "gateway" ? headers : [];`,
      },
    ],
  },
];
