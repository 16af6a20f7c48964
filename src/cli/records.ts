/**
 * `idempotency-gateway records …`: what an operator does first on a bad night. Asks a running gateway over its admin
 * port, which checks and logs; opens no store by itself.
 */
import { createReadStream } from "node:fs";
import { loadConfig } from "../config/load.ts";
import { documentOf, readAnswer, type Given } from "./answer.ts";
import { readCommand, USAGE, type Asked, type Command } from "./arguments.ts";
import { bytesOf, reasonOf, Refused, remoteDesk, type RemoteDesk, type Shown } from "./desk.ts";
import { progressOf } from "./progress.ts";
import { jsonLine, linesOf, printable, tableOf } from "./table.ts";

/** Where the command speaks and hears. */
export interface Terminal {
  /** Resolves when the text is out. */
  readonly out: (text: string) => Promise<void>;
  readonly err: (text: string) => void;
  /** Somebody watches standard error. */
  readonly watched: boolean;
  /** `undefined` where nobody is there to be asked. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** Standard input, as bytes. */
  readonly input: () => AsyncIterable<unknown>;
}

const DONE = 0;
const FAILED = 1;
const NOT_UNDERSTOOD = 2;

/** Returns the exit code. `words`: those behind `records`. */
export async function runRecords(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
  terminal: Terminal,
): Promise<number> {
  const read = readCommand(words);
  if (read.kind === "help") {
    await terminal.out(USAGE);
    return DONE;
  }
  if (read.kind === "unclear") {
    terminal.err(`records: ${printable(read.problem)}\nSee idempotency-gateway records --help.\n`);
    return NOT_UNDERSTOOD;
  }
  const loaded = loadConfig([...read.place, "--check"], env);
  if (loaded.kind !== "check") {
    const problems = loaded.kind === "invalid" ? loaded.problems : [loaded.kind];
    terminal.err(problems.map((line) => `${line}\n`).join(""));
    return NOT_UNDERSTOOD;
  }
  try {
    return await run(read, remoteDesk(loaded.config.admin), terminal);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    terminal.err(`${printable(error.message)}\n`);
    return FAILED;
  }
}

async function run(asked: Asked, desk: RemoteDesk, terminal: Terminal): Promise<number> {
  const { command, json } = asked;
  switch (command.kind) {
    case "list":
      return list(command, json, desk, terminal);
    case "show": {
      const record = await desk.show(command.id);
      await terminal.out(json ? jsonLine(record) : linesOf(record));
      return DONE;
    }
    case "resolve":
    case "forget":
      return decide(asked, command, desk, terminal);
  }
}

/** Reads page after page until there are enough, and says on standard error how far it is. */
async function list(
  { state, route, limit }: Command & { kind: "list" },
  json: boolean,
  desk: RemoteDesk,
  { out, err, watched }: Terminal,
): Promise<number> {
  const found: Shown[] = [];
  const damaged: string[] = [];
  let looked = 0;
  let cursor: string | undefined;
  const cursors = new Set<string | undefined>();
  do {
    cursors.add(cursor);
    const page = await desk.page(state, cursor);
    ({ cursor } = page);
    if (cursor !== undefined && cursors.has(cursor)) throw new Refused("The pages go in a circle.");
    looked += page.records.length;
    damaged.push(...(page.damaged ?? []));
    found.push(
      ...page.records.filter((record) => route === undefined || record["route"] === route),
    );
    if (watched) err(`\r${progressOf({ looked, found: found.length, limit, cursor })}`);
  } while (cursor !== undefined && found.length < limit);
  if (watched) err(`\r${" ".repeat(80)}\r`);
  const shown = found.slice(0, limit);
  if (json) await out(shown.map(jsonLine).join(""));
  else if (shown.length > 0) await out(tableOf(shown, Date.now()));
  for (const id of damaged) err(`${id} is damaged and cannot be read; its key gets 502.\n`);
  if (shown.length === 0 && looked > 0) err(`None of ${looked} records is of route "${route}".\n`);
  else if (shown.length === 0) err("No such records.\n");
  else if (cursor !== undefined || found.length > limit) {
    err(`These are the first ${shown.length}; --all lists all of them.\n`);
  }
  return DONE;
}

const SHADOWS =
  "It is a shadow's record: this changes what the shadow says of the next requests with its key, and nothing else.";

/** What a decision brings about, for whoever confirms it. */
const CONSEQUENCES = {
  executed: "Retries will be refused as not-replayable, and nothing is sent.",
  "not-executed": "The next request with its key will be sent to the upstream.",
  forget:
    "The next request with its key will be sent to the upstream, whatever has happened before.",
} as const;

async function decide(
  { json, yes }: Asked,
  command: Command & { kind: "resolve" | "forget" },
  desk: RemoteDesk,
  terminal: Terminal,
): Promise<number> {
  const { out, err, ask } = terminal;
  const { kind, id } = command;
  const given = kind === "resolve" ? await givenIn(command.answer, terminal) : undefined;
  if (typeof given === "string") {
    err(`records: ${printable(given)}\n`);
    return NOT_UNDERSTOOD;
  }
  let seen: string | undefined;
  if (!yes) {
    const record = await desk.show(id);
    // What was shown may be settled, and its key claimed again, before somebody has typed "yes".
    seen = record.attempt;
    const consequence = record.shadow
      ? SHADOWS
      : given
        ? `Nothing is sent, and retries will get ${inWords(given)}.`
        : CONSEQUENCES[kind === "resolve" ? command.outcome : kind];
    err(`${linesOf(record)}\n${consequence}\n`);
    if (ask === undefined) {
      err("Nobody is there to confirm it: say --yes.\n");
      return FAILED;
    }
    if ((await ask('Type "yes" to do it: ')).trim() !== "yes") {
      err("Nothing was changed.\n");
      return FAILED;
    }
  }
  if (kind === "forget") await desk.forget(id, seen);
  else await desk.resolve(id, command.outcome, seen, given && documentOf(given));
  const answer = given && { status: given.status, bytes: given.body.byteLength };
  const done =
    kind === "resolve"
      ? { id, outcome: command.outcome, ...(answer && { answer }) }
      : { id, forgotten: true };
  await out(json ? jsonLine(done) : `${kind === "resolve" ? "resolved" : "forgotten"}\n`);
  return DONE;
}

/** The answer in that file, or what is wrong with it; nothing where none was named. */
async function givenIn(
  file: string | undefined,
  { input }: Terminal,
): Promise<Given | string | undefined> {
  if (file === undefined) return undefined;
  const name = file === "-" ? "standard input" : file;
  let bytes;
  try {
    bytes = await bytesOf(file === "-" ? input() : createReadStream(file));
  } catch (error) {
    return `${name} cannot be read (${reasonOf(error)})`;
  }
  const given = readAnswer(bytes);
  return typeof given === "string" ? `${name}: ${given}` : given;
}

/** With the names of its fields, so that one that is missing is seen. */
function inWords({ status, headers, body }: Given): string {
  const names = headers.map(([name]) => name).join(", ");
  const size = `${status} with a body of ${body.byteLength} bytes and `;
  const given = `${size}${names === "" ? "no header fields" : `the header fields ${names}`}`;
  return status < 300
    ? given
    : `${given}. ${status} is not 2xx, although you say that it was executed`;
}
