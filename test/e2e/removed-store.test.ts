/** Somebody removes the embedded store's directory under a running gateway: nothing is executed that nobody remembers. */
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { call } from "../support/client.ts";
import { startGateway, tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

t.test(
  "refused and not ready while it is away or another, as before when it is back",
  async (t) => {
    const upstream = await startUpstream(t);
    const dir = join(tempDir(t), "store");
    const gateway = await startGateway(t, {
      upstream: { url: upstream.url },
      store: { url: `file:${dir}` },
    });
    const ask = (key: string) =>
      call(`${gateway.url}/charges`, { method: "POST", headers: { "Idempotency-Key": key } });
    const refused = async (key: string) => {
      const answer = await ask(key);
      t.same([answer.status, answer.json()["code"]], [503, "store-unavailable"]);
      const ready = await call(`${gateway.admin}/readyz`);
      t.equal(ready.status, 503);
      t.match(String(ready.body), /files of .* were removed or replaced/u);
    };
    t.equal((await ask("first")).header("idempotency-status"), "executed");
    t.equal(upstream.count(), 1);

    renameSync(dir, `${dir}.away`);
    await refused("second");
    mkdirSync(dir);
    await refused("second");
    t.equal(upstream.count(), 1, "nothing was sent");

    renameSync(`${dir}.away`, dir);
    t.equal((await ask("second")).header("idempotency-status"), "executed");
    t.equal((await ask("first")).header("idempotency-status"), "replayed");
    t.equal(upstream.count(), 2);
  },
);
