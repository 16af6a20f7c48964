/** The queue of unknown outcomes, oldest first: what somebody has to find out about, and the two answers. */
import { resolveButtons } from "./decisions.ts";
import { button, element, panel, recordLink, requestLine, table, time } from "./elements.ts";
import type { Live } from "./live.ts";
import type { Queue } from "./lookout.ts";
import { REASONS } from "./story.ts";
import type { View } from "./view.ts";
import type { RecordView } from "./wire.ts";
import { count, shortId } from "./words.ts";

export interface QueueActs {
  readonly look: () => void;
  readonly settled: (id: string) => void;
}

export function queueView({ look, settled }: QueueActs): View {
  const list = element("div", { "aria-live": "polite" });
  const progress = element("span", { class: "faint" });
  let drawn = "";
  const node = panel(
    "Unknown outcomes",
    element(
      "p",
      { class: "faint" },
      "These requests may have been executed, and their answers are lost. Find out at the upstream, by route, path and time, and say so: until then a retry gets 409 and nothing is sent.",
    ),
    list,
    element("div", { class: "actions" }, button("Look again", look), progress),
  );
  return {
    title: "Unknown",
    node,
    enter: look,
    update({ queue }: Live) {
      if (queue === undefined) return;
      progress.textContent = progressOf(queue);
      const { records, damaged, whole } = queue;
      const next = JSON.stringify([records, damaged, whole]);
      // Drawn anew only when it has changed: a button that somebody is about to press must not be replaced.
      if (next === drawn) return;
      drawn = next;
      const held = list.contains(document.activeElement);
      list.replaceChildren(...contents(queue, settled));
      if (held) (list.querySelector("button") ?? list.querySelector("p"))?.focus();
    },
  };
}

function progressOf({ looked, whole }: Queue): string {
  if (looked === undefined) return whole ? "All records were looked through." : "";
  return `Looking: ${count(looked)} records so far…`;
}

function contents(queue: Queue, settled: (id: string) => void): readonly Node[] {
  const parts: Node[] = [];
  if (queue.records.length > 0) {
    parts.push(queueTable(queue.records, settled));
  } else if (queue.whole) {
    parts.push(element("p", { class: "empty", tabindex: "-1" }, "None. Every outcome is known."));
  } else {
    parts.push(element("p", { class: "empty", tabindex: "-1" }, "None so far."));
  }
  if (queue.damaged.length > 0) parts.push(damagedNote(queue.damaged));
  return parts;
}

function queueTable(records: readonly RecordView[], settled: (id: string) => void): HTMLElement {
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
      resolveButtons(record, () => settled(record.id)),
    ]),
  );
}

function damagedNote(ids: readonly string[]): HTMLElement {
  return element(
    "p",
    { class: "problem" },
    `Damaged, and answered with 503: ${ids.map(shortId).join(", ")}`,
  );
}
