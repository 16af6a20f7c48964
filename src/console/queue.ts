/** The queue of unknown outcomes, oldest first: what somebody has to find out about, and the two answers. */
import { resolveButtons } from "./decisions.ts";
import { button, element, panel, recordLink, requestLine, table, time } from "./elements.ts";
import type { Live, Queue } from "./live.ts";
import { REASONS } from "./story.ts";
import type { View } from "./view.ts";
import type { RecordView } from "./wire.ts";
import { shortId } from "./words.ts";

export function queueView(look: (all: boolean) => Promise<void>): View {
  const list = element("div", { "aria-live": "polite" });
  let shown: Queue | undefined;
  const again = (): void => void look(false);
  const node = panel(
    "Unknown outcomes",
    element(
      "p",
      { class: "faint" },
      "These requests may have been executed, and their answers are lost. Find out at the upstream, by route, path and time, and say so: until then a retry gets 409 and nothing is sent.",
    ),
    list,
    element("div", { class: "actions" }, button("Look again", again)),
  );
  return {
    title: "Unknown",
    node,
    enter: again,
    update({ queue }: Live) {
      // Drawn anew only when it has changed: a button that somebody is about to press must not be replaced.
      if (queue === undefined || JSON.stringify(queue) === JSON.stringify(shown)) return;
      shown = queue;
      const held = list.contains(document.activeElement);
      list.replaceChildren(...contents(queue, look));
      if (held) (list.querySelector("button") ?? list.querySelector("p"))?.focus();
    },
  };
}

function contents(queue: Queue, look: (all: boolean) => Promise<void>): readonly Node[] {
  const parts: Node[] = [];
  if (queue.records.length > 0) {
    parts.push(queueTable(queue.records, () => void look(false)));
  } else if (queue.whole) {
    parts.push(element("p", { class: "empty", tabindex: "-1" }, "None. Every outcome is known."));
  }
  if (queue.damaged.length > 0) parts.push(damaged(queue.damaged));
  if (!queue.whole) {
    parts.push(
      element(
        "p",
        { class: "notice", tabindex: "-1" },
        "There are more records than were looked through. ",
        button("Look through all of them", () => void look(true)),
      ),
    );
  }
  return parts;
}

function queueTable(records: readonly RecordView[], done: () => void): HTMLElement {
  return table(
    "Unknown outcomes",
    [
      { label: "Since" },
      { label: "Request" },
      { label: "Route" },
      { label: "Reason" },
      { label: "Record" },
      { label: "What happened?" },
    ],
    records.map((record) => [
      time(record.since ?? record.createdAt),
      requestLine(record.method, record.path, record.query),
      record.route,
      element(
        "span",
        { class: "reason", title: REASONS[record.reason ?? "crash"] },
        record.reason ?? "",
      ),
      recordLink(record.id),
      resolveButtons(record, done),
    ]),
  );
}

function damaged(ids: readonly string[]): HTMLElement {
  return element(
    "p",
    { class: "problem" },
    `Damaged, and answered with 503: ${ids.map(shortId).join(", ")}`,
  );
}
