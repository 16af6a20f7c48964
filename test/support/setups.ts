/**
 * The four deployments that every scenario must hold in: Redis and the embedded store, with one gateway and with two
 * (on Redis two gateways, on the embedded store two workers of the built gateway).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import root, { type Test } from "tap";
import { parse, stringify } from "yaml";
import { startGatewayProcess } from "./gateway-process.ts";
import { freePort } from "./free-port.ts";
import { startGateway, storeSettings, tempDir, type Settings } from "./gateway.ts";
import { until } from "./redis-server.ts";
import { startUpstream, type Responder, type TestUpstream } from "./upstream.ts";

export interface Deployment {
  /** One or two base URLs of the same deployment; `url(n)` takes turns. */
  readonly urls: readonly string[];
  readonly url: (n: number) => string;
  readonly upstream: TestUpstream;
}

type Deploy = (t: Test, settings: Settings) => Promise<readonly string[]>;

const SETUPS: ReadonlyMap<string, Deploy> = new Map([
  ["Redis, one gateway", (t, settings) => inProcess(t, "redis", 1, settings)],
  ["Redis, two gateways", (t, settings) => inProcess(t, "redis", 2, settings)],
  ["embedded store, one gateway", (t, settings) => inProcess(t, "embedded", 1, settings)],
  ["embedded store, two workers", twoWorkers],
]);

/** On a busy machine the default of 250 ms would be an outage of the store, which is no part of these scenarios. */
const PATIENT = { timeout: "5s" };

async function inProcess(
  t: Test,
  name: "redis" | "embedded",
  gateways: number,
  settings: Settings,
): Promise<readonly string[]> {
  // The redis-server is the file's: it must outlive the subtest that asks for it first.
  const store = await storeSettings(root, name);
  const started = Array.from({ length: gateways }, () =>
    startGateway(t, {
      ...settings,
      store: { ...PATIENT, ...(settings["store"] as object), ...store },
    }),
  );
  const running = await Promise.all(started);
  // It listens before it is connected to Redis; `/readyz` says so, too.
  for (const { store: opened } of running)
    await until(async () => (await opened.problems()).length === 0);
  return running.map(({ url }) => url);
}

async function twoWorkers(t: Test, settings: Settings): Promise<readonly string[]> {
  const dir = tempDir(t);
  const file = join(dir, "gateway.yaml");
  const store = { ...PATIENT, ...(settings["store"] as object), url: `file:${join(dir, "store")}` };
  writeFileSync(file, stringify({ ...settings, store }));
  const gateway = await startGatewayProcess(t, ["--config", file, "--workers", "2"]);
  return [gateway.url, gateway.url];
}

/** The example's own YAML, as it stands in `config/examples`. */
export function exampleSettings(name: string): Readonly<Record<string, unknown>> {
  const file = new URL(`../../config/examples/${name}.yaml`, import.meta.url);
  return parse(readFileSync(file, "utf8")) as Record<string, unknown>;
}

/**
 * Runs a subtest in each deployment, each with an upstream of its own. `routes` and the like are written as in YAML;
 * `upstream.url` is filled in.
 */
export async function inEveryDeployment(
  name: string,
  settings: Readonly<Record<string, unknown>>,
  respond: () => Responder,
  run: (t: Test, deployment: Deployment) => Promise<void>,
): Promise<void> {
  await root.test(name, async (t) => {
    for (const [setup, deploy] of SETUPS) {
      await t.test(setup, async (t) => {
        const upstream = await startUpstream(t, { port: await freePort(), respond: respond() });
        const given = settings["upstream"] as object | undefined;
        const urls = await deploy(t, {
          ...settings,
          upstream: { ...given, url: upstream.url },
        });
        await run(t, { urls, url: (n) => urls[n % urls.length] ?? "", upstream });
      });
    }
  });
}
