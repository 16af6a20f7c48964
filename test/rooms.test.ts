/**
 * The tests of the rooms that need no other process, all in this one: a runner of its own for each of their files would take
 * longer than the tests. Which rooms these are is said where the runner is told to leave them out. Each file can be run
 * alone as well.
 */
import { readdirSync, readFileSync } from "node:fs";

const { tap } = JSON.parse(readFileSync("package.json", "utf8")) as {
  tap: { include: readonly string[] };
};
const rooms = tap.include.flatMap((glob) => /!\(([a-z|]+)\)/u.exec(glob)?.[1]?.split("|") ?? []);
if (rooms.length === 0) throw new Error("The runner leaves out no room.");
for (const room of rooms) {
  for (const file of readdirSync(new URL(`./${room}/`, import.meta.url))) {
    if (file.endsWith(".test.ts")) await import(`./${room}/${file}`);
  }
}
