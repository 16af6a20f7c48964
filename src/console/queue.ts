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
  const list = element("div", { class: "queue", "aria-live": "polite", tabindex: "-1" });
  const rows = new Map<string, Row>();
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
      if (next === drawn) return;
      drawn = next;
      const held = document.activeElement;
      const inside = list.contains(held);
      list.replaceChildren(...contents(queue, rowsOf(records, rows, settled)));
      // The button that somebody is about to press is still the same one. Where its record has gone no other takes its
      // place: an Enter that comes too late must not decide about the next one.
      if (inside) (held instanceof HTMLElement && list.contains(held) ? held : list).focus();
    },
  };
}

function progressOf({ looked, whole }: Queue): string {
  if (looked === undefined) return whole ? "All records were looked through." : "";
  return `Looking: ${count(looked)} records so far…`;
}

function contents(queue: Queue, rows: readonly Row[]): readonly Node[] {
  const parts: Node[] = [];
  if (rows.length > 0) {
    parts.push(table("Unknown outcomes", COLUMNS, rows));
  } else {
    const words = queue.whole ? "None. Every outcome is known." : "None so far.";
    parts.push(element("p", { class: "empty" }, words));
  }
  if (queue.damaged.length > 0) parts.push(damagedNote(queue.damaged));
  return parts;
}

type Row = readonly (Node | string)[];

const COLUMNS = ["Since", "Request", "Route", "Reason", "Record", "What happened?"].map(
  (label) => ({ label }),
);

/** The rows that are there already, and new ones. `drawn` is left with these alone. */
function rowsOf(
  records: readonly RecordView[],
  drawn: Map<string, Row>,
  settled: (id: string) => void,
): readonly Row[] {
  const rows = new Map(
    records.map((record) => {
      const name = JSON.stringify(record);
      return [name, drawn.get(name) ?? rowOf(record, settled)];
    }),
  );
  drawn.clear();
  for (const [name, row] of rows) drawn.set(name, row);
  return [...rows.values()];
}

function rowOf(record: RecordView, settled: (id: string) => void): Row {
  const { reason = "crash" } = record;
  return [
    time(record.since ?? record.createdAt),
    requestLine(record.method, record.path, record.query),
    record.route,
    element("span", { class: "reason", title: REASONS[reason] }, reason),
    recordLink(record.id),
    resolveButtons(record, () => settled(record.id)),
  ];
}

function damagedNote(ids: readonly string[]): HTMLElement {
  return element(
    "p",
    { class: "problem" },
    `Damaged, and answered with 502: ${ids.map(shortId).join(", ")}`,
  );
}
