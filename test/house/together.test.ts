/** Files that share a process: one that breaks fails the run by its own name, and none keeps another from running. */
import { spawnSync } from "node:child_process";
import { execPath } from "node:process";
import { fileURLToPath } from "node:url";
import t from "tap";
import { tally } from "./tally.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

function together(...names: readonly string[]): { status: number | null; tap: string } {
  const files = names.map((name) => `test/house/together/${name}.test.ts`);
  const program = `import { runTogether } from "./test/support/together.ts"; await runTogether(${JSON.stringify(files)});`;
  const args = ["--import=./test/support/strip-types.js", "--input-type=module", "-e", program];
  const { status, stdout } = spawnSync(execPath, args, { cwd: ROOT, encoding: "utf8" });
  return { status, tap: stdout };
}

t.test("a file that breaks fails by its name; the others run", async (t) => {
  const { status, tap } = together("broken", "sound");
  t.not(status, 0);
  const { passed, failed, failures } = tally(tap);
  t.same({ passed, failed }, { passed: 2, failed: 1 });
  t.match(failures[0], /test\/house\/together\/broken\.test\.ts breaks/u);
});

t.test("what a file puts off to the end keeps no other from running", async (t) => {
  const { status, tap } = together("outliving", "sound");
  t.equal(status, 0);
  t.match(tally(tap), { passed: 1, failed: 0 });
  t.match(tap, /behind all others[^]*# done at the end\n/u);
});

t.test("a file that is never read to its end fails the run", async (t) => {
  const { status, tap } = together("sound", "waiting");
  t.not(status, 0);
  t.match(tap, /# test\/house\/together\/waiting\.test\.ts\n/u, "the last one named");
});
