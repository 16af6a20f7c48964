/**
 * The console: a page that shows what the gateway does and lets an operator decide about unknown outcomes. Puts the
 * views together, asks for the token, and keeps the address and the page in step. Holds no state beyond the tab.
 */
import { button, element, tickTimes } from "./elements.ts";
import { type Live, Watch } from "./live.ts";
import { notices } from "./notice.ts";
import { overviewView } from "./overview.ts";
import { port } from "./port.ts";
import { queueView } from "./queue.ts";
import { recordsView } from "./records.ts";
import { routesView } from "./routes.ts";
import { signIn } from "./sign-in.ts";
import type { View } from "./view.ts";
import { span } from "./words.ts";

const watch = new Watch(changed);
const overview = overviewView();
const views: ReadonlyMap<string, View> = new Map([
  ["overview", overview],
  ["unknown", queueView({ look: () => watch.look(), settled: (id) => watch.settled(id) })],
  [
    "records",
    recordsView({
      showAnswers: () => watch.live.status?.showAnswers === true,
      settled: (id) => watch.settled(id),
    }),
  ],
  ["routes", routesView()],
]);

let open: View = overview;
let gate: HTMLElement | undefined;

const badge = element("span", { class: "badge", hidden: true });
const health = element("span", { class: "health", role: "status" });
const about = element("span", { class: "faint about" });
const pause = button("Pause", () => watch.pause(!watch.live.paused), { "aria-pressed": "false" });
const leave = button(
  "Sign out",
  () => {
    port.forgetToken();
    location.reload();
  },
  { hidden: true },
);
const links = new Map(
  [...views].map(([name, view]) => {
    const link = element("a", { href: `#/${name}` }, view.title);
    if (name === "unknown") link.append(" ", badge);
    return [view, link];
  }),
);
const main = element("main", { id: "main", tabindex: "-1" });

document.body.append(
  element("a", { class: "skip", href: "#main", click: skip }, "Skip to the content"),
  element(
    "header",
    {},
    element("div", { class: "brand" }, element("h1", {}, "idempotency-gateway"), about),
    element("div", { class: "tools" }, health, pause, leave),
    element("nav", { "aria-label": "Views" }, ...links.values()),
  ),
  main,
  notices,
);

/** The address is the view's: a link to an anchor would leave it. */
function skip(event: Event): void {
  event.preventDefault();
  main.focus({ preventScroll: true });
}

/** What the page shows by now: an address that is followed a second time would take the focus from its place. */
let followed: string | undefined;

function follow(): void {
  if (followed === location.hash) return;
  followed = location.hash;
  const [, name = "", rest = ""] = /^#\/([a-z]+)(?:\/([0-9a-f]{64}))?$/.exec(location.hash) ?? [];
  const next = views.get(name) ?? overview;
  open = next;
  for (const [view, link] of links) {
    if (view === next) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (gate !== undefined) {
    followed = undefined;
    return;
  }
  main.replaceChildren(next.node);
  next.enter?.(rest);
  next.update?.(watch.live);
  tellTitle();
}

/** In the background the tab's title is all that is seen of the page. */
function tellTitle(): void {
  const waiting = badge.hidden || gate !== undefined ? "" : `(${badge.textContent}) `;
  document.title = `${waiting}${open.title} · idempotency-gateway`;
}

function changed(live: Live): void {
  const { trouble } = live;
  if (trouble !== undefined && (trouble.status === 401 || trouble.status === 403)) {
    return shut(trouble.code, trouble.message);
  }
  if (gate !== undefined) reopen();
  leave.hidden = !port.hasToken();
  pause.textContent = live.paused ? "Go on" : "Pause";
  pause.setAttribute("aria-pressed", String(live.paused));
  const waiting = live.queue?.records.length ?? 0;
  badge.hidden = waiting === 0;
  badge.textContent = `${waiting}${live.queue?.whole === false ? "+" : ""}`;
  tellTitle();
  tellHealth(live);
  open.update?.(live);
}

function tellHealth(live: Live): void {
  const { status, samples } = live;
  const counters = samples.at(-1)?.counters;
  if (status !== undefined && counters !== undefined) {
    const up = span(Date.now() - counters.startedAtSeconds * 1000);
    const crew = counters.workers?.["answering"];
    about.textContent = [
      `${status.version}, up ${up}`,
      ...(crew === undefined ? [] : [`${crew} of ${status.workers} workers`]),
      `upstream ${status.upstream.url}`,
    ].join(" · ");
  }
  const [kind, text] = healthOf(live);
  if (health.textContent === text) return;
  health.className = `health ${kind}`;
  health.textContent = text;
}

/** What is known to be wrong with the store says more than the refusal that comes of it. */
function healthOf({ trouble, status, paused }: Live): readonly ["good" | "bad" | "idle", string] {
  if (trouble?.code === "no-answer") return ["bad", trouble.message];
  if (status?.ready === false) return ["bad", `not ready: ${status.problems.join("; ")}`];
  if (trouble !== undefined) return ["bad", trouble.message];
  if (paused) return ["idle", "paused"];
  return status === undefined ? ["idle", "asking"] : ["good", "ready"];
}

/** Nothing is shown any more, and nothing is asked, until there is a token that is right. */
function shut(code: string, detail: string): void {
  watch.stop();
  leave.hidden = true;
  pause.hidden = true;
  gate = signIn(code, detail, (token) => {
    port.useToken(token);
    watch.start();
  });
  main.replaceChildren(gate);
  health.className = "health idle";
  health.textContent = "signed out";
  badge.hidden = true;
  tellTitle();
  gate.querySelector("input")?.focus();
}

function reopen(): void {
  gate = undefined;
  followed = undefined;
  pause.hidden = false;
  follow();
  main.focus({ preventScroll: true });
}

addEventListener("hashchange", follow);
addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input, select, dialog");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || typing) return;
  event.preventDefault();
  if (!location.hash.startsWith("#/records")) location.hash = "#/records";
  follow();
  document.querySelector<HTMLElement>("#record-id")?.focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) watch.start();
});
setInterval(tickTimes, 1000);
follow();
watch.start();
