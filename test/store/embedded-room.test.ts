import t from "tap";
import { Room } from "../../src/store/embedded-room.ts";

t.test(
  "what fits is written, what would use up the reserve is refused before it is tried",
  async (t) => {
    const room = new Room(t.testdir());
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
  const room = new Room(t.testdir());
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
