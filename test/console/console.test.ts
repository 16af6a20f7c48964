/**
 * The console in a real Chromium, before a built gateway with real traffic: what it shows, what it lets an operator do,
 * and what it never lets a client do.
 */
import t from "tap";
import type { Browser, Page } from "playwright-core";
import { call } from "../support/client.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";
import { openTab, startBrowser, type Tab } from "./browser.ts";
import { killMidCall, signIn, silence, startStage, TOKEN, type Stage } from "./stage.ts";

const browser: Browser = await startBrowser(t);
// A page that is left open goes on asking for news.
t.afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));

/** Opens the console and signs in. */
async function signedIn(
  stage: Stage,
  ...options: Parameters<typeof openTab> extends [unknown, ...infer Rest] ? Rest : never
): Promise<Tab> {
  const [context, refusals = [401]] = options;
  const tab = await openTab(browser, context, refusals);
  await signIn(tab.page, stage);
  return tab;
}

/** The figures of the latency panel: what was executed, what was replayed, and the upstream. */
const LATENCIES = ["executed", "replayed", "flight"] as const;

/** Of each line of such a figure, whether there is one: a single point is none. */
const drawn = (page: Page, tone: (typeof LATENCIES)[number]): Promise<unknown> =>
  page.evaluate(
    `[...document.querySelectorAll("figure.${tone} path.line")].map((line) => line.getTotalLength() > 0)`,
  );

const tile = (page: Page, name: string) =>
  page.getByRole("region", { name, exact: true }).locator(".figure");

t.test(
  "the counters move, a wrong token is told, and nothing secret is left in the page",
  async (t) => {
    const upstream = await startUpstream(t, { answer: { status: 201, body: "done" } });
    const stage = await startStage(t, upstream.url);
    const { page, complaints, requests } = await openTab(browser, {}, [401]);
    await page.goto(`${stage.gateway.admin}/`);
    t.equal(page.url(), stage.console, "the port's root leads to it");
    const token = page.getByLabel("Admin token");
    await token.waitFor();
    t.equal(await page.evaluate("document.activeElement.id"), "token", "to be typed at once");
    await page.keyboard.type("no such token");
    await page.keyboard.press("Enter");
    await page.getByText("visible ASCII").waitFor();
    await token.fill("another");
    await page.keyboard.press("Enter");
    await page.getByText("This is not the gateway's admin token.").waitFor();
    t.equal(await page.getByText("Executed").count(), 0, "nothing is shown");
    await page.getByLabel("Admin token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await tile(page, "Executed").getByText("0", { exact: true }).waitFor();
    for (const tone of LATENCIES) t.strictSame(await drawn(page, tone), [false, false], tone);

    await stage.charge("a");
    await stage.charge("a");
    await stage.charge("a");
    await stage.charge("a", { body: "another" });
    await tile(page, "Executed").getByText("1", { exact: true }).waitFor();
    await tile(page, "Replayed").getByText("2", { exact: true }).waitFor();
    await tile(page, "Conflicts").getByText("1", { exact: true }).waitFor();
    t.equal(upstream.count(), 1);
    const gate = upstream.hold();
    const running = stage.charge("b");
    await tile(page, "In flight").getByText("1", { exact: true }).waitFor();
    await page.getByRole("link", { name: "Records" }).click();
    await page.getByLabel("State").selectOption("in-flight");
    await page
      .getByRole("row", { name: /in-flight/ })
      .getByRole("link")
      .click();
    await page.getByText("No answer yet").waitFor();
    t.equal(await page.getByRole("button", { name: "Forget this record" }).count(), 0);
    await page.getByRole("link", { name: "Overview" }).click();
    gate.release();
    await running;
    await tile(page, "In flight").getByText("0", { exact: true }).waitFor();
    await page.getByRole("row", { name: /charges .* 2 2 1 0 0 / }).waitFor();
    await page.getByRole("row", { name: /claim 5 0 / }).waitFor();
    t.equal(await page.getByText("would have been").count(), 0, "no route is a shadow");
    t.ok(await page.locator(".tile path.line.executed").getAttribute("d"), "a line is drawn");
    for (const tone of LATENCIES) {
      const figure = page.locator(`figure.${tone}`);
      await figure.getByText(/^p50 [\d.]+ m?s · p99 [\d.]+ m?s$/).waitFor();
      await figure.getByText(/^↑ [\d.]+ m?s$/).waitFor();
      t.strictSame(await drawn(page, tone), [true, true], `${tone}: median and 99th percentile`);
    }
    t.equal(upstream.count(), 2);

    const stored = (await page.evaluate(
      "JSON.stringify([localStorage, document.cookie, location.href])",
    )) as string;
    t.equal(stored, JSON.stringify([{}, "", `${stage.console}#/overview`]));
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Admin token").waitFor();
    t.equal(await page.evaluate("sessionStorage.length"), 0);
    t.notOk(requests.some((url) => url.includes(TOKEN) || !url.startsWith(stage.gateway.admin)));
    t.strictSame(complaints, []);
  },
);

t.test(
  "an unknown outcome is found and resolved by keyboard alone, then its retry executes or is refused",
  async (t) => {
    const first = await startUpstream(t, { answer: { status: 201 } });
    const stage = await startStage(t, first.url);
    const { page, complaints } = await signedIn(stage);
    const { id, next } = await killMidCall(t, stage, first, "lost");
    t.equal(first.count(), 1);
    t.equal((await stage.charge("lost")).status, 409, "nobody knows");
    const queue = page.getByRole("link", { name: "Unknown 1", exact: true });
    await queue.waitFor();
    await queue.focus();
    await page.keyboard.press("Enter");
    await page
      .getByRole("row", { name: new RegExp(`POST /v1/charges.*reset.*${id.slice(0, 12)}`) })
      .waitFor();

    const press = async (name: string): Promise<void> => {
      await page.getByRole("button", { name, exact: true }).focus();
      await page.keyboard.press("Enter");
    };
    await press("It was not executed");
    const dialog = page.getByRole("dialog", { name: "The upstream has not executed it?" });
    await dialog.waitFor();
    t.match(await dialog.textContent(), new RegExp(`${id}.*WILL be sent`, "s"));
    t.equal(
      await page.evaluate("document.activeElement.textContent"),
      "Cancel",
      "the safe answer first",
    );
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });
    await press("It was not executed");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    t.equal((await stage.charge("lost")).status, 409, "neither Cancel nor Escape decides anything");
    t.equal(next.count(), 0);

    await press("It was not executed");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("Resolved as not executed").waitFor();
    await page.getByText("None. Every outcome is known.").waitFor();
    const retry = await stage.charge("lost");
    t.strictSame([retry.status, retry.header("idempotency-status")], [201, "executed"]);
    t.equal((await stage.charge("lost")).header("idempotency-status"), "replayed");
    t.strictSame([first.count(), next.count()], [1, 1], "sent again once");

    const second = await killMidCall(t, stage, next, "lost-too");
    await page.getByText(second.id.slice(0, 12)).waitFor();
    await press("It was executed");
    await page.getByRole("dialog").getByText("nothing is sent").waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("None. Every outcome is known.").waitFor();
    t.equal((await stage.charge("lost-too")).header("idempotency-status"), "not-replayable");
    t.strictSame([next.count(), second.next.count()], [2, 0], "nothing is sent again");

    second.next.respond((_call, _req, res) => void res.destroy());
    await stage.charge("one");
    await stage.charge("another");
    const buttons = page.getByRole("button", { name: "It was executed", exact: true });
    await buttons.nth(1).waitFor();
    await buttons.first().focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Yes, it was executed" }).click();
    await buttons.nth(1).waitFor({ state: "detached" });
    t.equal(await page.evaluate("document.activeElement.className"), "queue", "no other's button");
    t.equal(second.next.count(), 2);
    const told = await stage.gateway.lines(3, ({ msg }) => msg === "record changed by an operator");
    t.match(told, [
      { recordId: id, outcome: "not-executed", answer: "done" },
      { recordId: second.id, outcome: "executed", answer: "done" },
    ]);
    t.strictSame(complaints, []);
  },
);

t.test(
  "a record is found by id and by key, tells its story, and shows its answer only when asked",
  async (t) => {
    const upstream = await startUpstream(t, {
      answer: { status: 201, headers: ["Content-Type", "text/plain"], body: "the recorded body" },
    });
    const stage = await startStage(t, upstream.url);
    const headers = { Authorization: "Bearer alice" };
    const id = (await stage.charge("order-1", { headers })).header("idempotency-record") ?? "";
    for (let n = 0; n < 2; n += 1) await stage.charge("order-1", { headers });
    const { page, complaints, requests } = await signedIn(stage, {}, [401, 404]);
    await silence(page, id, 2);
    await page.keyboard.press("/");
    await page.keyboard.type("nonsense");
    await page.keyboard.press("Enter");
    await page.getByText("A record id is 64 lower-case hex digits.").waitFor();
    await page.getByLabel("Record id").fill(`urn:idempotency-gateway:record:${id}`);
    await page.keyboard.press("Enter");
    await page.getByText(/Answered 201/).waitFor();
    const story = page.getByRole("region", { name: "Found" });
    t.match(
      await story.textContent(),
      /Claimed.*By \S+\/\d+\..*Sent.*Answered 201.*text\/plain.*byte for byte.*Replayed 2 times.*By \S+\/\d+\..*2 processes did not answer.*To be forgotten/s,
    );
    t.equal(await page.getByText("the recorded body").count(), 0, "not unasked");
    await page.getByRole("button", { name: "Show the recorded answer" }).click();
    await page.getByLabel("Recorded body").getByText("the recorded body").waitFor();
    await stage.gateway.lines(
      1,
      ({ msg, recordId }) => msg === "recorded answer shown to an operator" && recordId === id,
    );

    await page.getByLabel("Key", { exact: true }).fill("order-1");
    await page.getByLabel("authorization").fill("Bearer bob");
    await page.keyboard.press("Enter");
    await page.getByText("No record.").waitFor();
    await page.getByLabel("authorization").fill("Bearer alice");
    await page.keyboard.press("Enter");
    await page.getByText(/Answered 201/).waitFor();
    t.notOk(
      requests.some((url) => url.includes("order-1") || url.includes("alice")),
      "a key is in no address",
    );
    t.notMatch(stage.gateway.output.join("\n"), /order-1|alice/, "nor in the log");

    const body = '{"date":"2026-12-01","slot":7}';
    const reserved = { method: "POST", body, headers: { "Content-Type": "application/json" } };
    const slot = (await call(`${stage.gateway.url}/v1/reservations`, reserved)).header(
      "idempotency-record",
    );
    await page.getByLabel("Route").selectOption("reservations");
    await page.getByLabel("Key: /date").fill("2026-12-01");
    await page.getByLabel("Key: /slot").fill("7");
    await page.getByLabel("authorization").fill("");
    await page.keyboard.press("Enter");
    await story.getByText(String(slot), { exact: true }).waitFor();
    await page.getByRole("button", { name: "Forget this record" }).click();
    await page.getByRole("button", { name: "Yes, forget it" }).click();
    await page.getByText("It never existed, was released or forgotten").waitFor();
    t.equal(upstream.count(), 2);
    await call(`${stage.gateway.url}/v1/reservations`, reserved);
    t.equal(upstream.count(), 3, "what is forgotten executes again");

    await page.getByLabel("State").selectOption("completed");
    const rows = page.getByRole("table", { name: "Records" }).getByRole("row");
    await rows.nth(2).waitFor();
    t.equal(await rows.count(), 3, "a heading and two records");
    await page.getByRole("link", { name: "Routes" }).click();
    await page.getByRole("heading", { name: "deployments" }).waitFor();
    t.match(
      await page.getByRole("main").textContent(),
      /PUT {2}\/deployments\/:uuid.*retention\.completed7d.*as in defaults/s,
    );
    t.strictSame(complaints, []);
  },
);

/** What would run, or turn the page's writing direction, if it were ever taken for markup. */
const ATTACKS = [
  "<img src=x onerror=alert(1)>",
  '"><script>alert(1)</script>',
  "javascript:alert(1)",
  "${alert(1)}",
  "</td></table><svg onload=alert(1)>",
];

t.test("nothing that a client or an upstream sends is ever run by the page", async (t) => {
  const evil = ATTACKS.join("");
  const upstream = await startUpstream(t, {
    respond: (sent, req, res) => {
      if (sent.url.startsWith("/lost")) return void req.socket.destroy();
      const bytes = Buffer.from(`${evil}\u202etxet \u0007`);
      res.writeHead(201, [
        "Content-Type",
        evil,
        "Location",
        `/${evil}`,
        "X-Evil",
        evil,
        "Content-Length",
        String(bytes.length),
      ]);
      res.end(bytes);
    },
  });
  const stage = await startStage(t, upstream.url, { defaults: { key: { required: true } } });
  const send = (path: string, key: string, body?: string) =>
    call(stage.gateway.url + path, {
      method: "POST",
      headers: { "Idempotency-Key": `"${key.replaceAll(/["\\]/g, "\\$&")}"` },
      body: body ?? evil,
    });
  const inPath = "/'%3Cscript%3E<svg/onload=alert(1)>";
  for (const attack of ATTACKS) await send("/v1/charges", attack.replaceAll(" ", "/"));
  await send(`/lost${inPath}`, "lost");
  const slot = JSON.stringify({ date: ATTACKS[0], slot: ATTACKS[1] });
  const answer = await call(`${stage.gateway.url}/v1/reservations`, {
    method: "POST",
    body: slot,
    headers: { "Content-Type": "application/json" },
  });
  t.equal(upstream.count(), 7);
  const { page, complaints } = await signedIn(stage, {}, [401, 404]);
  await page.goto(`${stage.console}#/unknown`);
  await page.getByText(/\/lost\/'/).waitFor();
  await page.goto(`${stage.console}#/records`);
  await page.getByText("That is all.").waitFor();
  t.equal(await page.getByRole("table", { name: "Records" }).getByRole("row").count(), 8);
  await page.goto(`${stage.console}#/records/${answer.header("idempotency-record")}`);
  await page.getByRole("button", { name: "Show the recorded answer" }).click();
  const shown = page.getByLabel("Recorded body");
  await shown.waitFor();
  t.equal(await shown.textContent(), `${evil}\\u{202e}txet \\u{7}`, "all of it, as text");
  t.match(await page.getByLabel("Recorded head").textContent(), `X-Evil: ${evil}`);
  await page.getByLabel("Key", { exact: true }).fill(evil);
  await page.getByLabel("Route").selectOption("charges");
  await page.getByLabel("authorization").fill(evil);
  await page.keyboard.press("Enter");
  await page.getByText("No record.").waitFor();
  await page.goto(`${stage.console}#/${encodeURIComponent(evil)}`);
  await page.goto(
    `${stage.console}?${encodeURIComponent(evil)}#/records/<img src=x onerror=alert(1)>`,
  );
  await page
    .getByRole("heading", { name: "By record id" })
    .or(page.getByRole("heading", { name: "Latency" }))
    .waitFor();
  t.equal(await page.locator("main img, main script, main svg[onload], main iframe").count(), 0);
  t.strictSame(complaints, [], "no dialog, no error, no violation of the policy");
  await t.rejects(
    page.evaluate("document.body.innerHTML = '<b>'"),
    /TrustedHTML/,
    "and the policy is in force",
  );
});

t.test(
  "with several workers it shows the sum of them, in light and dark, on a phone and by day",
  async (t) => {
    const upstream = await startUpstream(t, { answer: { status: 201 } });
    const watched = { name: "watched", match: { path: "/watched" }, mode: "shadow" };
    const stage = await startStage(t, upstream.url, { workers: 2 }, { routes: [watched] });
    // Each call is a connection of its own, and the workers share them out.
    // More than are looked through at once.
    for (let n = 0; n < 13; n += 1) {
      const keys = Array.from({ length: 10 }, (_, at) => `key-${(n % 12) * 10 + at}`);
      await Promise.all(keys.map((key) => stage.charge(key)));
    }
    t.equal(upstream.count(), 120);
    for (const [at, body] of ["{}", "{}", "{}", "[]"].entries()) {
      const headers = { "Idempotency-Key": "a-watched-key" };
      await call(`${stage.gateway.url}/watched`, { method: "POST", headers, body });
      await stage.gateway.lines(at + 1, ({ outcome }) => outcome === "shadow");
    }
    t.equal(upstream.count(), 124, "a shadow passes on what it would have replayed or refused");
    const { id } = await killMidCall(t, stage, upstream, "lost");
    for (const colorScheme of ["light", "dark"] as const) {
      const tab = await signedIn(stage, {
        colorScheme,
        viewport: { width: 320, height: 640 },
        hasTouch: true,
      });
      const { page } = tab;
      await tile(page, "Executed").getByText("120", { exact: true }).waitFor();
      await tile(page, "Replayed").getByText("10", { exact: true }).waitFor();
      await page.getByText("2 of 2 workers").waitFor();
      const told = page.getByRole("table", { name: "What shadow routes would have answered" });
      for (const name of [
        /watched.*replayed.*2$/,
        /watched.*executed.*1$/,
        /watched.*key-reused.*1$/,
      ])
        await told.getByRole("row", { name }).waitFor();
      t.equal(await told.getByRole("row").count(), 4, "a heading and three outcomes");
      const cut = await page.evaluate(
        "[...document.querySelectorAll('main td')].map((cell) => cell.getBoundingClientRect()).filter(({ left, right, height }) => left < 0 || right > innerWidth || height === 0).length",
      );
      t.equal(cut, 0, "all of it is on a phone's screen");
      const ground = (await page.evaluate(
        "getComputedStyle(document.body).backgroundColor",
      )) as string;
      const light = Number(/\d+/.exec(ground)?.[0]) > 128;
      t.equal(light, colorScheme === "light", ground);
      for (const width of [320, 390, 768, 1280]) {
        await page.setViewportSize({ width, height: 700 });
        for (const view of ["overview", "unknown", `records/${id}`, "routes"]) {
          await page.goto(`${stage.console}#/${view}`);
          await page
            .getByText(/reset|Latency|deployments/)
            .first()
            .waitFor();
          const over = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
          t.equal(over, 0, `${view} at ${width}`);
        }
      }
      await page.goto(`${stage.console}#/unknown`);
      await page.getByText("All records were looked through.").waitFor();
      t.match(await page.title(), "(1) Unknown");
      t.strictSame(tab.complaints, []);
    }
  },
);

t.test(
  "without a token the console of this host works, and where the port is closed it says so",
  async (t) => {
    const upstream = await startUpstream(t, { answer: { status: 201 } });
    const open = await startStage(t, upstream.url, {}, { token: "" });
    await open.charge("a");
    const { page, complaints } = await openTab(browser);
    await page.goto(open.console);
    await tile(page, "Executed").getByText("1", { exact: true }).waitFor();
    t.equal(
      await page.getByRole("button", { name: "Sign out" }).count(),
      0,
      "there is nothing to sign out of",
    );
    const { id, next } = await killMidCall(t, open, upstream, "lost");
    await page.goto(`${open.console}#/records/${id}`);
    await page.getByRole("button", { name: "It was executed" }).click();
    await page.getByRole("button", { name: "Yes, it was executed" }).click();
    await page.getByText("Resolved as executed by an operator").waitFor();
    t.equal(await page.getByRole("button", { name: "Show the recorded answer" }).count(), 0);
    t.strictSame(complaints, []);
    t.strictSame([upstream.count(), next.count()], [2, 0]);

    const closed = await startStage(t, next.url, {}, { token: "", args: ["--admin", "0.0.0.0:0"] });
    const tab = await openTab(browser, {}, [403]);
    await tab.page.goto(closed.console);
    await tab.page.getByText("no token is configured. Set `admin.token`").waitFor();
    t.equal(await tab.page.getByLabel("Admin token").count(), 0, "no token would help");
    t.strictSame(tab.complaints, []);
    t.equal(next.count(), 0);
  },
);

t.test("a store that is away and a gateway that has ended are told", async (t) => {
  const upstream = await startUpstream(t);
  const store = { url: "redis://127.0.0.1:1" };
  const stage = await startStage(t, upstream.url, { store }, { token: "" });
  t.equal((await stage.charge("a")).status, 503);
  t.equal(upstream.count(), 0);
  const { page } = await openTab(browser);
  await page.goto(stage.console);
  await page.getByText(/^not ready: .*redis/i).waitFor();
  await page.goto(`${stage.console}#/records/${"0".repeat(64)}`);
  await page.getByLabel("Found").getByText("The idempotency store cannot be reached.").waitFor();
  await stage.gateway.end("SIGKILL");
  await page.getByText("The gateway does not answer.").waitFor();
});

t.test(
  "another site's page can neither see records nor change them, with or without a token",
  async (t) => {
    const upstream = await startUpstream(t, {
      respond: (sent, _req, res) => {
        // The upstream's own page is another origin on the same host.
        if (sent.method === "GET")
          writeAnswer(res, { headers: ["Content-Type", "text/html"], body: "<p>page" });
        else res.destroy();
      },
    });
    const stage = await startStage(t, upstream.url, {}, { token: "" });
    const { gateway } = stage;
    const id = (await stage.charge("lost")).header("idempotency-record") ?? "";
    const { page } = await openTab(browser, {}, [403]);
    await page.goto(upstream.url);
    const attempt = (path: string, init: object): Promise<unknown> =>
      page.evaluate(
        `fetch(${JSON.stringify(gateway.admin + path)}, ${JSON.stringify(init)}).then((r) => r.type + r.status, () => "refused")`,
      );
    const resolve = `/v1/records/${id}/resolve`;
    const body = '{"outcome":"not-executed"}';
    t.equal(await attempt("/v1/records", {}), "refused");
    t.equal(
      await attempt("/v1/records", { mode: "no-cors" }),
      "opaque0",
      "asked, and not to be read",
    );
    t.equal(await attempt(resolve, { method: "POST", body, mode: "no-cors" }), "opaque0");
    const headers = { "Content-Type": "application/json" };
    t.equal(await attempt(resolve, { method: "POST", body, headers }), "refused");
    t.equal(await attempt(`/v1/records/${id}`, { method: "DELETE" }), "refused");
    await page.evaluate(
      `document.body.append(Object.assign(document.createElement("iframe"), { src: ${JSON.stringify(`${gateway.admin}/console/`)} }))`,
    );
    await page.waitForLoadState("networkidle");
    const frame = page.frames().find((each) => each !== page.mainFrame());
    t.notMatch(await frame?.content(), "console.js", "the console is in no frame");
    t.match((await call(`${gateway.admin}/v1/records/${id}`)).json(), { state: "unknown" });
    t.equal(gateway.output.filter((line) => line.includes("by an operator")).length, 0);
    t.equal(upstream.calls.filter(({ method }) => method === "POST").length, 1);
  },
);
