/**
 * Kill -9 at each failpoint x each store, and: what people run has no failpoints and takes no word that would give it
 * some.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { bundled } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import { configured, spawnGateway, startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";
import { PLACES, POINTS } from "./points.ts";
import { rowNamed } from "./rows.ts";
import { tryRow } from "./try-row.ts";

tryRow(t, rowNamed("crash-failpoints"));

const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const SRC = fileURLToPath(new URL("../../src", import.meta.url));
const POINT_NAMES = Object.keys(POINTS);

t.test("every failpoint has its place in the matrix", async (q) => {
  q.same(PLACES.flat().toSorted(), POINT_NAMES.toSorted());
  q.equal(PLACES.length, 13);
});

/** What of this a directory's code names. */
function named(dir: string, words: readonly string[]): readonly string[] {
  const texts = readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(c?js|ts|lua)$/u.test(name))
    .map((name) => readFileSync(join(dir, name), "utf8").toLowerCase());
  return words.filter((word) => texts.some((text) => text.includes(word.toLowerCase())));
}

t.test("nothing that people run names a failpoint", async (q) => {
  const words = ["failpoint", "SIGSTOP", "/kill/"];
  q.same(named(DIST, words), []);
  // Packages have it, too; so of this, what we have written ourselves.
  q.same(named(SRC, [...words, "diagnostics_channel"]), []);
  const program = await bundled(q, "test/crash/gateway.ts");
  q.same(
    named(dirname(program), ["failpoint", "SIGSTOP"]),
    ["failpoint", "SIGSTOP"],
    "it has them",
  );
});

t.test("the built gateway goes on where the program of the tests dies", async (q) => {
  const upstream = await startUpstream(q);
  const config = () =>
    configured(q, { upstream: { url: upstream.url }, store: { url: `file:${tempDir(q)}` } });
  const env = { FAILPOINTS: "unit-0" };
  const post = (url: string, point: string) =>
    call(`${url}/unit-0/kill/${point}/small`, {
      method: "POST",
      headers: { "Idempotency-Key": point },
      body: "x",
    });
  const refused = [
    spawnGateway(q, config(), { IDEMPOTENCY_GATEWAY_FAILPOINTS: "unit-0" }),
    spawnGateway(q, [...config(), "--failpoints", "unit-0"]),
  ];
  q.same(await Promise.all(refused.map(({ ended }) => ended)), [2, 2], "words it does not know");

  const built = await startGatewayProcess(q, config(), env);
  for (const point of POINT_NAMES) {
    const answer = await post(built.url, point);
    q.equal(answer.header("idempotency-status"), "executed", point);
  }
  q.equal(await built.end("SIGTERM"), 0);
  q.equal(upstream.count(), POINT_NAMES.length, "upstream calls");

  const armed = await startGatewayProcess(
    q,
    config(),
    env,
    undefined,
    await bundled(q, "test/crash/gateway.ts"),
  );
  await q.rejects(post(armed.url, "before-claim"), { code: "ECONNRESET" });
  q.equal(await armed.ended, null, "ended by the signal");
  q.equal(upstream.count(), POINT_NAMES.length, "upstream calls, none more");
});
