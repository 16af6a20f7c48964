/** The contract of the stores, the memory of resources: compare-and-set on a revision. Run by contract.ts. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Test } from "tap";
import type { Cells } from "../../src/core/resource-ports.ts";
import type { MakeStore } from "./contract-values.ts";
import { claimOf, DAY_MS, hex } from "./contract-values.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

async function textAt(store: Cells, id: string): Promise<[string, number] | undefined> {
  const { cell } = await store.readCell(id);
  return cell && [Buffer.from(cell.value).toString("latin1"), cell.revision];
}

export async function cells(t: Test, makeStore: MakeStore): Promise<void> {
  const { store, pass, another } = await makeStore(t);

  t.test("nothing is there, and the store's clock comes with it", async (t) => {
    const { cell, nowMs } = await store.readCell(hex(32));
    t.equal(cell, undefined);
    await pass(20);
    t.ok((await store.readCell(hex(32))).nowMs >= nowMs + 20);
  });

  t.test("the first write presents 0, each further one what was read", async (t) => {
    const id = hex(32);
    t.equal(await store.writeCell(id, bytes("one"), 0, DAY_MS), "done");
    t.same(await textAt(store, id), ["one", 1]);
    t.equal(await store.writeCell(id, bytes("two"), 1, DAY_MS), "done");
    t.same(await textAt(store, id), ["two", 2]);
  });

  t.test("a stale revision, a future one, and 0 where something is: lost", async (t) => {
    const id = hex(32);
    t.equal(await store.writeCell(id, bytes("early"), 1, DAY_MS), "lost");
    t.equal(await textAt(store, id), undefined);
    await store.writeCell(id, bytes("one"), 0, DAY_MS);
    await store.writeCell(id, bytes("two"), 1, DAY_MS);
    for (const revision of [0, 1, 3]) {
      t.equal(await store.writeCell(id, bytes("late"), revision, DAY_MS), "lost");
      t.equal(await store.writeCell(id, undefined, revision, DAY_MS), "lost");
    }
    t.same(await textAt(store, id), ["two", 2]);
  });

  t.test("a cell is removed by its revision, and the next write is a first one", async (t) => {
    const id = hex(32);
    t.equal(await store.writeCell(id, undefined, 0, DAY_MS), "done", "nothing to remove");
    await store.writeCell(id, bytes("one"), 0, DAY_MS);
    t.equal(await store.writeCell(id, undefined, 1, DAY_MS), "done");
    t.equal(await textAt(store, id), undefined);
    t.equal(await store.writeCell(id, bytes("again"), 1, DAY_MS), "lost");
    t.equal(await store.writeCell(id, bytes("again"), 0, DAY_MS), "done");
    t.same(await textAt(store, id), ["again", 1]);
  });

  t.test("a cell whose time is over is absent to everybody", async (t) => {
    const [kept, over] = [hex(32), hex(32)];
    await store.writeCell(kept, bytes("short"), 0, 60);
    await store.writeCell(kept, bytes("longer"), 1, DAY_MS);
    await store.writeCell(over, bytes("short"), 0, 60);
    await pass(80);
    t.equal(await textAt(store, over), undefined);
    t.equal(await store.writeCell(over, bytes("late"), 1, DAY_MS), "lost");
    t.equal(await store.writeCell(over, bytes("new"), 0, DAY_MS), "done");
    t.same(await textAt(store, over), ["new", 1]);
    t.same(await textAt(store, kept), ["longer", 2], "each write counts its retention anew");
  });

  t.test("values come back byte for byte: empty, binary, 1 MiB", async (t) => {
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    for (const value of [new Uint8Array(0), every, Uint8Array.from(randomBytes(1 << 20))]) {
      const id = hex(32);
      await store.writeCell(id, value, 0, DAY_MS);
      const { cell } = await store.readCell(id);
      assert(cell !== undefined);
      t.ok(Buffer.from(value).equals(cell.value), `${value.length} bytes`);
    }
  });

  t.test("the caller may use its bytes again, written and read", async (t) => {
    const id = hex(32);
    const value = bytes("mine");
    const written = store.writeCell(id, value, 0, DAY_MS);
    value.fill(0);
    await written;
    (await store.readCell(id)).cell?.value.fill(0);
    t.same(await textAt(store, id), ["mine", 1]);
  });

  t.test("many ids at once keep to themselves", async (t) => {
    const ids = Array.from({ length: 300 }, () => hex(32));
    await Promise.all(ids.map((id) => store.writeCell(id, bytes(id), 0, DAY_MS)));
    const read = await Promise.all(ids.map((id) => textAt(store, id)));
    t.same(
      read,
      ids.map((id) => [id, 1]),
    );
  });

  t.test("a cell and a record of one id do not meet, and no cell is listed", async (t) => {
    const claim = claimOf();
    await store.writeCell(claim.id, bytes("cell"), 0, DAY_MS);
    t.same(await store.claim(claim), { kind: "granted", fence: 1 });
    t.same(await textAt(store, claim.id), ["cell", 1]);
    t.equal(await store.release(claim.id, claim.token), "done");
    t.same(await textAt(store, claim.id), ["cell", 1]);
    t.same(await store.list({ limit: 1000 }), { records: [] });
  });

  t.test("two clients race for each revision: exactly one write is done", async (t) => {
    const id = hex(32);
    const other = await another();
    for (let revision = 0; revision < 20; revision++) {
      const racers = Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? store : other));
      const answers = await Promise.all(
        racers.map((racer, n) => racer.writeCell(id, bytes(`${revision}.${n}`), revision, DAY_MS)),
      );
      t.equal(answers.filter((answer) => answer === "done").length, 1);
      const winner = answers.indexOf("done");
      t.same(await textAt(other, id), [`${revision}.${winner}`, revision + 1]);
    }
  });
}
