/** The command line of the benchmark, its workloads' words, and the body that both of its generators send. */
import { readFileSync } from "node:fs";
import t from "tap";
import { CONTENDERS, contenderOf } from "../../bench/contenders.ts";
import { bodyOf } from "../../bench/load.ts";
import { readOptions } from "../../bench/options.ts";
import { WORKLOADS } from "../../bench/workloads.ts";

t.test("without options everything is run, a million records included", async (t) => {
  const options = readOptions([]);
  t.match(options, { only: [], rounds: 3, coldKeys: 1_000_000, print: false });
  t.same(options.recordSizes, [10_000, 1_000_000]);
  t.ok(options.isWanted("anybody"));
});

t.test("--quick has fewer records, unless they are told", async (t) => {
  t.equal(readOptions(["--quick"]).coldKeys, 20_000);
  t.equal(readOptions(["--quick", "--cold", "7"]).coldKeys, 7);
});

t.test("only what is named is wanted, and sizes come in order", async (t) => {
  const options = readOptions(["--contenders", "a,b", "--only", "hot,cold", "--records", "20,3"]);
  t.same(["a", "b", "c"].map(options.isWanted), [true, true, false]);
  t.same(options.only, ["hot", "cold"]);
  t.same(options.recordSizes, [3, 20]);
});

for (const args of [
  ["--seconds", "0"],
  ["--seconds", "1.5"],
  ["--rounds", "many"],
  ["--records", "1,x"],
  ["--tolerate", "1"],
  ["--unknown"],
]) {
  t.test(`refused: ${args.join(" ")}`, async (t) => {
    t.throws(() => readOptions(args));
  });
}

t.test("every workload names contenders that there are, each workload once", async (t) => {
  for (const { name, contenders } of WORKLOADS) {
    t.ok(contenders.length > 0, name);
    for (const contender of contenders) t.equal(contenderOf(contender).name, contender);
    t.equal(new Set(contenders).size, contenders.length, `${name} names each once`);
  }
  t.equal(new Set(WORKLOADS.map(({ name }) => name)).size, WORKLOADS.length);
  t.equal(new Set(CONTENDERS.map(({ name }) => name)).size, CONTENDERS.length);
  t.throws(() => contenderOf("nobody"), { message: /nobody/u });
});

t.test("replays and conflicts may only go to contenders that guard", async (t) => {
  for (const { name, expected, contenders } of WORKLOADS) {
    if (expected.executed !== 0) continue;
    t.ok(
      contenders.every((each) => contenderOf(each).guards),
      name,
    );
  }
});

t.test(
  "a body has the length asked for and is JSON, and wrk's script makes the same",
  async (t) => {
    for (const bytes of [100, 250, 16_384]) {
      t.equal(Buffer.byteLength(bodyOf(bytes)), bytes);
      t.match(JSON.parse(bodyOf(bytes)), { amount: 4200, currency: "eur" });
    }
    const script = readFileSync(new URL("../../bench/load.lua", import.meta.url), "utf8");
    const [, open, close] = /open, close = '([^']+)', '([^']+)'/u.exec(script) ?? [];
    t.ok(bodyOf(100).startsWith(`${open}x`));
    t.ok(bodyOf(100).endsWith(`x${close}`));
  },
);
