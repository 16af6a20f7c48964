/** The two stores that outlive a process, and a gateway process on one of them that can be started again. */
import { rmSync } from "node:fs";
import { call } from "../support/client.ts";
import { storeSettings, type Teardown } from "../support/gateway.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import type { TestUpstream } from "../support/upstream.ts";

export const LASTING = ["embedded", "redis"] as const;
export type Lasting = (typeof LASTING)[number];

/** Short enough to see a lease end, long enough for a busy machine to start a gateway meanwhile. */
export const LEASE_MS = 4000;

export interface Settings {
  readonly store?: Readonly<Record<string, unknown>>;
  readonly [section: string]: unknown;
}

/** Each call starts one more process with the same configuration. `root` is the file's root test. */
export async function gatewayOn(
  root: Teardown,
  t: Teardown,
  name: Lasting,
  upstream: TestUpstream,
  settings: Settings = {},
): Promise<(...args: readonly string[]) => Promise<GatewayProcess>> {
  const store = await storeSettings(root, name);
  const config = configured(t, {
    upstream: { url: upstream.url },
    ...settings,
    store: { ...store, timeout: "1s", ...settings.store },
  });
  if (name === "embedded") {
    t.teardown(() => rmSync(store.url.slice("file:".length), { recursive: true, force: true }));
  }
  return async (...args) => ready(await startGatewayProcess(t, [...config, ...args]));
}

/** Resolves when it takes traffic: it listens before it has reached Redis, and refuses what comes until then. */
export async function ready(gateway: GatewayProcess): Promise<GatewayProcess> {
  await ask(
    () => call(`${gateway.admin}/readyz`),
    ({ status }) => status === 200,
  );
  return gateway;
}

/** For lines of exchanges. */
export function exchangeWith(outcome: string) {
  return (line: Readonly<Record<string, unknown>>): boolean =>
    line["msg"] === "exchange" && line["outcome"] === outcome;
}

/** Asks again until the answer is enough; each question is a round trip, so this does not spin. */
export async function ask<Answer>(
  question: () => Promise<Answer>,
  enough: (answer: Answer) => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await question();
    if (enough(answer)) return answer;
  }
}
