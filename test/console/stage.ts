/**
 * A built gateway with an admin token and a few routes, and clients that send it what the console is to show. Asserts
 * nothing but that what it has brought about is there.
 */
import type { Page } from "playwright-core";
import type { Test } from "tap";
import { call, type Answer, type CallOptions } from "../support/client.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import type { Teardown } from "../support/teardown.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

export const TOKEN = "an-operators-token";

export interface Stage {
  readonly gateway: GatewayProcess;
  readonly console: string;
  /** A charge under this key. */
  charge(key: string, options?: CallOptions): Promise<Answer>;
}

export interface StageOptions {
  /** Empty: none. */
  readonly token?: string;
  readonly args?: readonly string[];
  /** Behind those that are always there. */
  readonly routes?: readonly Readonly<Record<string, unknown>>[];
}

export async function startStage(
  t: Teardown,
  upstreamUrl: string,
  settings: Readonly<Record<string, unknown>> = {},
  { token = TOKEN, args = [], routes = [] }: StageOptions = {},
): Promise<Stage> {
  const gateway = await startGatewayProcess(
    t,
    [
      ...args,
      ...configured(t, {
        upstream: { url: upstreamUrl, timeout: "5s" },
        store: { url: `file:${tempDir(t)}` },
        admin: { showAnswers: token !== "" },
        ...settings,
        routes: [
          {
            name: "charges",
            match: { methods: ["POST"], path: "/v1/charges" },
            key: { required: true },
          },
          {
            name: "reservations",
            match: { methods: ["POST"], path: "/v1/reservations" },
            key: { from: "body", pointers: ["/date", "/slot"] },
          },
          {
            name: "deployments",
            match: { methods: ["PUT"], path: "/deployments/:uuid" },
            key: { from: "path", name: "uuid" },
            retention: { completed: "7d" },
          },
          ...routes,
        ],
      }),
    ],
    token === "" ? {} : { IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: token },
  );
  return {
    gateway,
    console: `${gateway.admin.replace("0.0.0.0", "127.0.0.1")}/console/`,
    charge: (key, options = {}) =>
      call(`${gateway.url}/v1/charges`, {
        method: "POST",
        body: '{"amount":4200}',
        ...options,
        headers: {
          "Idempotency-Key": `"${key}"`,
          "Content-Type": "application/json",
          ...options.headers,
        },
      }),
  };
}

/** Opens the console in this page. */
export async function signIn(page: Page, stage: Stage): Promise<void> {
  await page.goto(stage.console);
  await page.getByLabel("Admin token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.getByText("ready", { exact: true }).waitFor();
}

/** From now on the page is told of this record as it is where so many of the gateway's processes are silent. */
export async function silence(page: Page, id: string, silentProcesses: number): Promise<void> {
  await page.route(`**/v1/records/${id}`, async (route) => {
    const response = await route.fetch();
    const record = (await response.json()) as Readonly<Record<string, unknown>>;
    await route.fulfill({ response, json: { ...record, silentProcesses } });
  });
}

/** The upstream of a request ends in the middle of it, and another one takes its place. Resolves with the record's id. */
export async function killMidCall(
  t: Test,
  stage: Stage,
  upstream: TestUpstream,
  key: string,
): Promise<{ readonly id: string; readonly next: TestUpstream }> {
  upstream.hold();
  const lost = stage.charge(key);
  await upstream.arrived(upstream.count() + 1);
  await upstream.close();
  const answer = await lost;
  t.equal(answer.header("idempotency-status"), "outcome-unknown");
  const next = await startUpstream(t, { port: upstream.port, answer: { status: 201 } });
  return { id: answer.header("idempotency-record") ?? "", next };
}
