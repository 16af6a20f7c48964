/**
 * One record's story: claimed, sent, answered or not, replayed, forgotten. A replay writes nothing into its record: how
 * often it was told again is known by the processes that did, of this gateway and since they began; the log has all of it.
 */
import { forgetButton, resolveButtons } from "./decisions.ts";
import { button, element, panel, requestLine, time } from "./elements.ts";
import { tell, wordsOf } from "./notice.ts";
import { port } from "./port.ts";
import type { Recorded, RecordStory, RecordView } from "./wire.ts";
import { bytes, milliseconds, span, visible } from "./words.ts";

export const REASONS: Readonly<Record<NonNullable<RecordView["reason"]>, string>> = {
  timeout: "The upstream gave no complete answer in time.",
  reset: "The connection broke after the request had left, or the answer was no HTTP.",
  truncated: "The answer was cut short.",
  crash: "The gateway that had sent it ended or was paused past its lease.",
};

interface Step {
  readonly tone: "done" | "open" | "bad";
  readonly what: string;
  readonly at?: string | undefined;
  readonly detail?: string | undefined;
}

/** `changed` is called when an operator has decided something about it. */
export function story(record: RecordStory, showAnswers: boolean, changed: () => void): HTMLElement {
  return panel(
    "Record",
    element("p", { class: "mono id" }, record.id),
    element(
      "p",
      {},
      element("span", { class: `state ${record.state}` }, record.state),
      " ",
      requestLine(record.method, record.path, record.query),
      element(
        "span",
        { class: "faint" },
        ` on ${record.shadow ? "shadow route" : "route"} ${record.route}`,
      ),
    ),
    element("ol", { class: "story" }, ...stepsOf(record).map(stepNode)),
    element(
      "p",
      { class: "faint" },
      "Replays write nothing into a record: they are counted by the processes of this gateway, since each began. The log has one line for each, whichever gateway answered it: ",
      element("code", {}, `"outcome":"replayed" … "recordId":"${record.id}"`),
    ),
    actions(record, showAnswers, changed),
  );
}

function stepNode({ tone, what, at, detail }: Step): HTMLElement {
  return element(
    "li",
    { class: tone },
    element("b", {}, what),
    " ",
    at === undefined ? undefined : time(at),
    at === undefined ? undefined : element("span", { class: "mono faint" }, ` ${at}`),
    detail === undefined ? undefined : element("div", { class: "faint" }, detail),
  );
}

function stepsOf(record: RecordStory): readonly Step[] {
  return [
    claimed(record),
    ...(record.fence > 1 ? [again(record)] : []),
    ...outcome(record),
    ...(record.replays ?? []).map(replayed),
    ...(record.silentProcesses === undefined ? [] : [silent(record.silentProcesses)]),
    end(record),
  ];
}

function claimed({ createdAt, fence, claimedBy }: RecordView): Step {
  const only = `${by(claimedBy)}Its key was taken for this request, and nothing else was sent under it since.`;
  return {
    tone: "done",
    what: fence === 1 ? "Claimed" : "First claimed",
    at: createdAt,
    ...(fence === 1 && { detail: only }),
  };
}

/** A sentence, where it is known. */
function by(claimedBy: string | null): string {
  return claimedBy === null ? "" : `By ${visible(claimedBy)}. `;
}

function again({ fence, claimedBy }: RecordView): Step {
  return {
    tone: "done",
    what: `Claimed again, ${fence} times in all`,
    detail: `${by(claimedBy)}The outcome before was unknown, and the route sends again (onUnknown: resend). The upstream was told the fence.`,
  };
}

function outcome(record: RecordView): readonly Step[] {
  const sent: Step = {
    tone: "done",
    what: "Sent",
    detail: "Right after its claim; the moment is not kept.",
  };
  switch (record.state) {
    case "in-flight":
      return [
        { ...sent, tone: "open", what: "Being sent" },
        {
          tone: "open",
          what: "No answer yet",
          detail: `Its gateway is presumed alive until ${record.leaseUntil}; then the outcome is unknown.`,
        },
      ];
    case "unknown":
      return [
        sent,
        {
          tone: "bad",
          what: "Outcome unknown",
          at: record.since,
          detail: `${record.reason}: ${REASONS[record.reason ?? "crash"]}`,
        },
      ];
    case "completed":
      return record.status === null ? [sent, byOperator(record)] : [sent, answered(record)];
  }
}

function byOperator({ completedAt }: RecordView): Step {
  return {
    tone: "done",
    what: "Resolved as executed by an operator",
    at: completedAt,
    detail: "Nobody has seen the answer: a retry gets 409 not-replayable.",
  };
}

const ANSWERED = {
  upstream: "Answered",
  probe: "Found out by asking the upstream, answered",
  operator: "Answer given by an operator,",
} as const;

function answered(record: RecordView): Step {
  const { completedAt = "", createdAt, status, fence } = record;
  const tookMs = Date.parse(completedAt) - Date.parse(createdAt);
  return {
    tone: "done",
    what: `${ANSWERED[record.answeredBy ?? "upstream"]} ${status}`,
    at: completedAt,
    detail: [
      // The record knows when it was first claimed, and not when it was claimed again.
      fence === 1 ? `${milliseconds(tookMs)} after its claim.` : "",
      record.contentType === undefined ? "" : `${visible(record.contentType)}.`,
      record.location === undefined ? "" : `Location: ${visible(record.location)}.`,
      record.replayable === true
        ? "Retries get this answer again, byte for byte."
        : "The body was not kept: a retry gets 409 not-replayable.",
    ]
      .filter((part) => part !== "")
      .join(" "),
  };
}

function replayed({ by: process, count, last }: NonNullable<RecordStory["replays"]>[number]): Step {
  return {
    tone: "done",
    what: count === 1 ? "Replayed once" : `Replayed ${count} times, the last time`,
    at: last,
    detail: `${by(process)}Counted since that process began.`,
  };
}

function silent(count: number): Step {
  return {
    tone: "open",
    what: count === 1 ? "One process did not answer" : `${count} processes did not answer`,
    detail: "Replays that are known there are missing above.",
  };
}

function end({ expiresAt, createdAt }: RecordView): Step {
  const kept = Date.parse(expiresAt) - Date.parse(createdAt);
  return {
    tone: "open",
    what: "To be forgotten",
    at: expiresAt,
    detail: `Kept for ${span(kept)} in all.`,
  };
}

function actions(record: RecordView, showAnswers: boolean, changed: () => void): HTMLElement {
  const answer = element("div", { class: "answer" });
  const reveal = button("Show the recorded answer", () => {
    void port.answer(record.id).then(
      (recorded) => answer.replaceChildren(...answerParts(recorded)),
      (error: unknown) => tell(wordsOf(error), "bad"),
    );
  });
  return element(
    "div",
    {},
    element(
      "div",
      { class: "actions" },
      record.state === "unknown" ? resolveButtons(record, changed) : undefined,
      showAnswers ? reveal : undefined,
      record.state === "in-flight" ? undefined : forgetButton(record, changed),
    ),
    answer,
  );
}

function answerParts({ target, answer }: Recorded): readonly Node[] {
  const asked = element("p", {}, "Asked for ", element("code", {}, visible(target)));
  if (answer === null) return [asked, element("p", { class: "faint" }, "No answer is recorded.")];
  const { status, headers, body } = answer;
  const head = headers.map(([name, value]) => `${visible(name)}: ${visible(value)}`).join("\n");
  return [
    asked,
    element("pre", { tabindex: "0", "aria-label": "Recorded head" }, `${status}\n${head}`),
    body === null
      ? element("p", { class: "faint" }, "The body was not kept.")
      : element(
          "div",
          {},
          element("p", { class: "faint" }, bodyWords(body)),
          element(
            "pre",
            { tabindex: "0", "aria-label": "Recorded body" },
            visible(body.content, true),
          ),
        ),
  ];
}

function bodyWords(body: NonNullable<NonNullable<Recorded["answer"]>["body"]>): string {
  const cut = body.shownBytes < body.bytes ? `, the first ${bytes(body.shownBytes)} of it` : "";
  return `Body: ${bytes(body.bytes)}${cut}${body.encoding === "base64" ? ", in base64" : ""}`;
}
