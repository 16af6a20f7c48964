/**
 * The Lua scripts, one per transition, each with the prelude `record.lua` in front. Reads them from disk beside this
 * file; what they answer is described at the top of each.
 */
import { readFileSync } from "node:fs";

/** Command name to file. */
export const SCRIPT_FILES = {
  claim: "claim.lua",
  confirm: "confirm.lua",
  complete: "complete.lua",
  completeBare: "complete-bare.lua",
  release: "release.lua",
  markUnknown: "mark-unknown.lua",
  inspect: "inspect.lua",
  forget: "forget.lua",
  resolve: "resolve.lua",
  settleUnknown: "settle-unknown.lua",
  readCell: "read-cell.lua",
  writeCell: "write-cell.lua",
  enterRoll: "enter-roll.lua",
  strikeRoll: "strike-roll.lua",
  standing: "standing.lua",
} as const;

export type ScriptName = keyof typeof SCRIPT_FILES;

export interface ScriptSource {
  readonly name: ScriptName;
  readonly lua: string;
}

export function loadScripts(): readonly ScriptSource[] {
  const prelude = readScript("record.lua");
  return (Object.keys(SCRIPT_FILES) as ScriptName[]).map((name) => ({
    name,
    lua: withPrelude(prelude, readScript(SCRIPT_FILES[name])),
  }));
}

/**
 * Redis looks for `#!lua flags=…` in the first line alone, so it stays first. Every reply ends with the server's clock
 * and the last argument, by which the caller knows that it is the reply to its call.
 */
function withPrelude(prelude: string, script: string): string {
  const [, shebang = "", rest = ""] = /^(#![^\n]*\n)?([\s\S]*)$/u.exec(script) ?? [];
  return `${shebang}${prelude}
local function transition()
${rest}
end

local reply = transition()
reply[#reply + 1] = clock()
reply[#reply + 1] = ARGV[#ARGV]
return reply
`;
}

function readScript(file: string): string {
  return readFileSync(new URL(`./scripts/${file}`, import.meta.url), "utf8");
}
