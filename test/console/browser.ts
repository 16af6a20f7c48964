/**
 * A real Chromium for the console's tests. Everything that a page complains about is kept: console errors, uncaught
 * exceptions, requests to elsewhere, and violations of its policy, which Chromium reports as console errors.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import type { Teardown } from "../support/teardown.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/**
 * Features that no test looks at. With each tab the first two open pages of the browser's own, which take more processor time
 * than the console, and the third starts a process that nobody asked for. Of several lists Chromium reads the last, so that
 * the rest of Playwright's follows.
 */
const LEFT_OUT = [
  ...["WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess"],
  ...["AimEnabled", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay"],
  ...["MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding"],
  ...["AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose"],
  ...["PreconnectToSearch", "ThirdPartyStoragePartitioning"],
];

export async function startBrowser(t: Teardown): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: installed(),
    // As root, as in a container, it has no sandbox to offer; the pages are our own.
    chromiumSandbox: false,
    args: ["--disable-gpu", "--disable-dev-shm-usage", `--disable-features=${LEFT_OUT.join()}`],
  });
  t.teardown(() => browser.close());
  return browser;
}

/** @throws where none is installed, with what installs it */
function installed(): string {
  const dirs = (process.env["PATH"] ?? "").split(delimiter);
  for (const path of dirs.flatMap((dir) => NAMES.map((name) => join(dir, name)))) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there: the next one.
    }
  }
  throw new Error("there is no Chromium on the PATH: `apt-get install chromium` brings one");
}

export interface Tab {
  readonly page: Page;
  /** What the page or the browser has complained about. */
  readonly complaints: readonly string[];
  /** Every URL that was asked for. */
  readonly requests: readonly string[];
}

/** A tab of its own, with a session of its own. `refusals`: statuses that the browser may complain about. */
export async function openTab(
  browser: Browser,
  options: BrowserContextOptions = {},
  refusals: readonly number[] = [],
): Promise<Tab> {
  const page = await (await browser.newContext(options)).newPage();
  // Everything is on this host, and the page asks for news every two seconds.
  page.setDefaultTimeout(20_000);
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => {
    const text = message.text();
    const expected = refusals.some((status) => text.includes(`status of ${status} `));
    if (["error", "warning"].includes(message.type()) && !expected) complaints.push(text);
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => requests.push(request.url()));
  return { page, complaints, requests };
}
