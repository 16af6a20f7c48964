import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Room } from "../../src/store/embedded-room.ts";

function roomIn(t: Test): Room {
  return new Room(t.testdir({ "data.mdb": "", "lock.mdb": "" }));
}

t.test(
  "what fits is written, what would use up the reserve is refused before it is tried",
  async (t) => {
    const room = roomIn(t);
    t.equal(room.problem(), undefined);
    t.equal(await room.spend(1000, async () => "written"), "written");
    let tried = false;
    const write = async (): Promise<void> => {
      tried = true;
    };
    await t.rejects(room.spend(2 ** 52, write), { code: "STORE_FULL" });
    t.equal(tried, false);
  },
);

t.test("writes that run at the same time do not count on the same room", async (t) => {
  const room = roomIn(t);
  let finish = (): void => undefined;
  const running = room.spend(
    0,
    () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  );
  t.equal(room.problem(), undefined);
  finish();
  await running;
  const failing = room.spend(0, async () => {
    throw new Error("broken");
  });
  await t.rejects(failing, { message: "broken" });
  t.equal(await room.spend(0, async () => "next"), "next");
});

t.test("where the file was removed or replaced nothing is tried", async (t) => {
  const dir = t.testdir({ "data.mdb": "", "lock.mdb": "" });
  const room = new Room(dir);
  const write = async () => t.fail("tried");
  const refused = { name: "StoreUnavailable", undone: true, message: /removed or replaced/u };
  for (const file of [join(dir, "data.mdb"), join(dir, "lock.mdb")]) {
    renameSync(file, `${file}.old`);
    await t.rejects(room.spend(0, write), refused, "away");
    writeFileSync(file, "");
    await t.rejects(room.spend(0, write), refused, "another one of the same name");
    t.match(room.problem(), /removed or replaced/u);
    t.throws(() => room.check(), refused);
    renameSync(`${file}.old`, file);
    t.equal(await room.spend(0, async () => "back"), "back");
    t.equal(room.problem(), undefined);
  }
});
