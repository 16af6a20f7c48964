/**
 * Takes the pictures of docs/console.md: a built gateway under traffic for a minute, and Chromium. Not a test.
 *
 *     npm run build && npx tsx test/console/pictures.ts
 */
import { mkdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";
import { call } from "../support/client.ts";
import { tempDir } from "../support/gateway.ts";
import { startBrowser } from "./browser.ts";
import { signIn, startStage, type Stage } from "./stage.ts";

const OUT = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const SECONDS = Number(process.argv[2] ?? "60");

await withTeardown(async (t) => {
  mkdirSync(OUT, { recursive: true });
  const { stage, lost } = await busyStage(t);
  const browser = await startBrowser(t);
  const signedIn = async (colorScheme: "light" | "dark", width: number, height: number) => {
    const context = await browser.newContext({ colorScheme, viewport: { width, height } });
    const page = await context.newPage();
    await signIn(page, stage);
    return page;
  };
  const light = await signedIn("light", 1180, 900);
  const dark = await signedIn("dark", 1180, 640);
  const phone = await signedIn("light", 390, 844);
  const over = traffic(stage, SECONDS * 1000);
  // Chromium lets the pages that are not in front sleep otherwise.
  await delay(SECONDS * 1000 - 3000);
  const shoot = (page: Page, name: string): Promise<unknown> =>
    page.screenshot({ path: `${OUT}${name}.png`, fullPage: false });
  await shoot(light, "console-overview");
  await phone.goto(`${stage.console}#/unknown`);
  await phone.getByText("reset").first().waitFor();
  await shoot(phone, "console-phone");
  await dark.goto(`${stage.console}#/unknown`);
  await dark.getByRole("button", { name: "It was not executed" }).first().click();
  await shoot(dark, "console-unknown");
  await dark.keyboard.press("Escape");
  await dark.goto(`${stage.console}#/records/${lost}`);
  await dark.getByText("Outcome unknown").waitFor();
  await shoot(dark, "console-record");
  await light.goto(`${stage.console}#/records`);
  await light.getByLabel("Key", { exact: true }).waitFor();
  await shoot(light, "console-search");
  await light.goto(`${stage.console}#/routes`);
  await light.getByRole("heading", { name: "reservations" }).waitFor();
  await shoot(light, "console-routes");
  await over;
});

/** An upstream that takes a few milliseconds, and hangs up on what is lost. */
async function busyStage(t: Teardown): Promise<{ stage: Stage; lost: string }> {
  let number = 0;
  const upstream = await startUpstream(t, {
    respond: async (sent, req, res) => {
      if (sent.body.includes("lost")) return void req.socket.destroy();
      await delay(4 + 30 * Math.random() ** 4);
      number += 1;
      const headers = ["Content-Type", "application/json", "Location", `/v1/charges/ch_${number}`];
      writeAnswer(res, { status: 201, headers, body: `{"id":"ch_${number}"}` });
    },
  });
  // A machine that takes pictures and makes traffic is slow.
  const store = { url: `file:${tempDir(t)}`, timeout: "2s" };
  const stage = await startStage(t, upstream.url, { store });
  await stage.charge("lost-1", { body: '{"lost":1}' });
  await stage.charge("lost-2", { body: '{"lost":2}' });
  const deployment = `${stage.gateway.url}/deployments/0d2f4a70-8d0f-4f6e-9c1a-3c5f1d9a7b11`;
  await call(deployment, { method: "PUT", body: "lost" });
  const last = await stage.charge("lost-3", { body: '{"lost":3}' });
  return { stage, lost: String(last.header("idempotency-record")) };
}

/** More and less of it, with retries, reused keys and duplicates among them. */
async function traffic(stage: Stage, forMs: number): Promise<void> {
  const from = performance.now();
  const sent: Promise<unknown>[] = [];
  for (let n = 0; performance.now() - from < forMs; n += 1) {
    const seconds = (performance.now() - from) / 1000;
    const key = `order-${n}`;
    sent.push(
      stage.charge(key).then(async () => {
        if (n % 3 === 0) await stage.charge(key);
        if (n % 17 === 0) await stage.charge(key, { body: '{"amount":1}' });
      }),
    );
    if (n % 11 === 0) sent.push(stage.charge(key));
    if (n % 5 === 0) {
      const body = JSON.stringify({ date: "2026-12-01", slot: n % 40 });
      const headers = { "Content-Type": "application/json" };
      sent.push(call(`${stage.gateway.url}/v1/reservations`, { method: "POST", body, headers }));
    }
    await delay(25 + 15 * Math.sin(seconds / 5));
  }
  await Promise.all(sent);
}
