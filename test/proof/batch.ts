/** A batch in a process of its own: `batch.ts ROOT ROOM ROW FIRST COUNT`, started by `proof.ts`, which hears the result. */
import { findRow } from "./rooms.ts";

const [root = "", room = "", name = "", first, count] = process.argv.slice(2);
if (process.send === undefined) throw new Error("This program is started by `npm run proof`.");
const row = await findRow(root, room, name);
const result = await row.run(Number(first), Number(count));
process.send(result, () => {
  // Whatever a row has left open must not keep the next batch waiting.
  process.exit(0);
});
