/** A start takes what the build has compiled, where it is of the very program; otherwise it compiles it anew. */
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { compile } from "../../deploy/build/compiled.ts";
import { call } from "../support/client.ts";
import { startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAM = join(root, "dist/app/main.cjs");

t.test("the built program starts from kept code", async (q) => {
  q.equal(compile(PROGRAM).fromKept, true);
});

t.test("kept code is used for the very program, in its place, undamaged", async (q) => {
  const file = join(tempDir(q), "program.cjs");
  const globals = globalThis as { told?: string };
  q.teardown(() => delete globals.told);
  const told = (place?: string): readonly [string | undefined, boolean] => {
    const compiled = compile(file, place);
    compiled.run();
    return [globals.told, compiled.fromKept];
  };

  writeFileSync(file, 'globalThis.told = "one";');
  const first = compile(file);
  first.run();
  first.keep();
  q.same(told(), ["one", true]);
  q.same(told("/elsewhere/program.cjs"), ["one", false], "named as another place");

  // V8 would take it: the length is the same.
  writeFileSync(file, 'globalThis.told = "two";');
  q.same(told(), ["two", false], "of another program");

  const second = compile(file);
  second.run();
  second.keep();
  q.same(told(), ["two", true]);
  const bytes = readFileSync(`${file}.compiled`);
  bytes[bytes.length - 8]! ^= 1;
  writeFileSync(`${file}.compiled`, bytes);
  q.same(told(), ["two", false], "damaged");
  writeFileSync(`${file}.compiled`, bytes.subarray(0, 10));
  q.same(told(), ["two", false], "cut");
});

t.test(
  "a gateway whose kept code is damaged, or that is elsewhere, serves all the same",
  async (q) => {
    // Within the checkout, where it finds its packages.
    const dir = mkdtempSync(join(root, "node_modules", ".moved-"));
    q.teardown(() => rmSync(dir, { recursive: true, force: true }));
    for (const name of ["dist", "package.json"]) {
      cpSync(join(root, name), join(dir, name), { recursive: true });
    }
    const main = join(dir, "dist/main.js");
    const upstream = await startUpstream(q, { answer: { status: 201 } });
    const serves = async (
      key: string,
      program = main,
      node = [process.execPath],
    ): Promise<void> => {
      const args = ["--upstream", upstream.url, "--store", "memory:"];
      const gateway = await startGatewayProcess(q, args, {}, dir, program, node);
      for (const status of ["executed", "replayed"]) {
        const headers = { "Idempotency-Key": key };
        const answer = await call(`${gateway.url}/charges`, { method: "POST", headers });
        q.same([answer.status, answer.header("idempotency-status")], [201, status], key);
      }
      q.equal(await gateway.end("SIGTERM"), 0);
    };
    await serves("elsewhere");
    // As npm puts it where commands are.
    symlinkSync(main, join(dir, "idempotency-gateway"));
    await serves("by-another-name", join(dir, "idempotency-gateway"));
    await serves("with-maps", main, [process.execPath, "--enable-source-maps"]);
    appendFileSync(join(dir, "dist/app/main.cjs.compiled"), "x");
    await serves("damaged");
    rmSync(join(dir, "dist/app/main.cjs.compiled"));
    await serves("none-kept");
    q.equal(upstream.count(), 5, "upstream calls");
  },
);
