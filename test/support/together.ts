/**
 * Runs the test files of whole rooms in this one process: a process for each file would take longer to start than most of
 * them take to run, and would read and compile `src` anew. Each file can be run alone as well. Which rooms share a process,
 * and which of their files do not, is said where the runner is told what to run: `tap.include` in package.json.
 */
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import t from "tap";

const ROOT = new URL("../../", import.meta.url);

const { tap } = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8")) as {
  tap: { include: readonly string[] };
};
/** The rooms whose files the runner is told to leave out. */
const rooms = tap.include.flatMap((glob) => /!\(([a-z0-9|]+)\)/u.exec(glob)?.[1]?.split("|") ?? []);

/** Runs the rooms that have no file of their own in `test/rooms`. Throws where the runner leaves out no room. */
export async function runSmallRooms(): Promise<void> {
  const small = rooms.filter((room) => partsOf(room) === 0);
  if (small.length === 0) throw new Error("The runner leaves out no room.");
  await runTogether(small.flatMap((room) => filesOf(room)));
}

/**
 * Runs the part of a room that `url`, `test/rooms/<room>-<part>.test.ts`, is named after: every n-th file where there are
 * n parts. A large room has several, so that none is still busy when all else has ended. Throws where the runner does not
 * leave the room out, or where the parts are not 1 to n.
 */
export async function runPart(url: string): Promise<void> {
  const [, room = "", digits] =
    /^([a-z0-9]+)-(\d+)\.test\.ts$/u.exec(basename(fileURLToPath(url))) ?? [];
  const part = Number(digits);
  const parts = partsOf(room);
  if (!rooms.includes(room)) throw new Error(`The runner does not leave out "${room}".`);
  if (!(part >= 1 && part <= parts)) throw new Error(`${room} has the parts 1 to ${parts}.`);
  await runTogether(filesOf(room).filter((_, n) => n % parts === part - 1));
}

const namesIn = (folder: string): readonly string[] =>
  readdirSync(new URL(`test/${folder}/`, ROOT))
    .filter((name) => name.endsWith(".test.ts"))
    .toSorted();

const partsOf = (room: string): number =>
  namesIn("rooms").filter((name) => name.startsWith(`${room}-`)).length;

/** The files of a room but those that the runner is told to run by name. */
const filesOf = (room: string): readonly string[] =>
  namesIn(room)
    .map((name) => `test/${room}/${name}`)
    .filter((file) => !tap.include.includes(file));

/**
 * One after the other: a file is read when the tests of the one before have ended; one that breaks fails by its name. What
 * a file puts off with the root test is done when all have ended: that is for what they can share, a Redis or a directory.
 */
export async function runTogether(files: readonly string[]): Promise<void> {
  // The runner's own `teardown` ends the process where nothing is left to run, as it is between two files.
  t.teardown = (work) => t.after(work);
  // DANGER: below the runner, Node's own exit code for a file that waits for ever at its top is lost.
  const unread = (): void => void (process.exitCode = 1);
  process.once("exit", unread);
  for (const file of files) {
    t.comment(file);
    try {
      await import(new URL(file, ROOT).href);
    } catch (error) {
      t.fail(`${file} breaks`, { error: inspect(error) });
    }
    if (!t.idle) await once(t, "idle");
  }
  process.off("exit", unread);
  t.end();
}
