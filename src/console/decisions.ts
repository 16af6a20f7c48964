/** What an operator may decide about a record: each decision is asked about first, and says what will follow from it. */
import { button, element, requestLine } from "./elements.ts";
import { confirmed, tell, wordsOf } from "./notice.ts";
import { port, Refused } from "./port.ts";
import type { Outcome, RecordView } from "./wire.ts";

/** Called when something was decided, or when somebody else has been quicker. */
type Done = () => void;

/** The refusals that say so. */
const SETTLED: ReadonlySet<string> = new Set([
  "record-absent",
  "record-not-unknown",
  "record-overtaken",
]);

const SHADOWS =
  "It is a shadow's record: this changes what the shadow says of the next requests with its key, and nothing else.";

const RESOLUTIONS: readonly {
  readonly outcome: Outcome;
  readonly label: string;
  readonly title: string;
  readonly consequence: string;
  readonly yes: string;
  readonly told: string;
}[] = [
  {
    outcome: "executed",
    label: "It was executed",
    title: "The upstream has executed it?",
    consequence:
      "The record becomes completed, without an answer. A retry with its key gets 409 not-replayable, and nothing is sent.",
    yes: "Yes, it was executed",
    told: "Resolved as executed: retries get 409, nothing is sent.",
  },
  {
    outcome: "not-executed",
    label: "It was not executed",
    title: "The upstream has not executed it?",
    consequence:
      "The record is forgotten. The next request with its key WILL be sent to the upstream: if the first one was executed after all, it happens twice.",
    yes: "Yes, let a retry run",
    told: "Resolved as not executed: the next request with its key is sent.",
  },
];

export function resolveButtons(record: RecordView, done: Done): HTMLElement {
  return element(
    "div",
    { class: "actions" },
    ...RESOLUTIONS.map(({ outcome, label, title, consequence, yes, told }) =>
      button(label, () => {
        void decide(
          {
            title,
            about: aboutOf(record, consequence),
            yes,
            grave: outcome === "not-executed",
          },
          () => port.resolve(record, outcome),
          told,
          done,
        );
      }),
    ),
  );
}

export function forgetButton(record: RecordView, done: Done): HTMLElement {
  const consequence =
    "The next request with its key is sent to the upstream as a new one, whatever this record says.";
  return button("Forget this record", () => {
    void decide(
      {
        title: "Forget this record?",
        about: aboutOf(record, consequence),
        yes: "Yes, forget it",
        grave: true,
      },
      () => port.forget(record),
      "Forgotten: the next request with its key is sent.",
      done,
    );
  });
}

function aboutOf(record: RecordView, consequence: string): readonly Node[] {
  return [
    element(
      "p",
      {},
      requestLine(record.method, record.path, record.query),
      element("br"),
      element("span", { class: "mono faint" }, record.id),
    ),
    element("p", {}, record.shadow === true ? SHADOWS : consequence),
  ];
}

async function decide(
  question: Parameters<typeof confirmed>[0],
  act: () => Promise<unknown>,
  told: string,
  done: Done,
): Promise<void> {
  if (!(await confirmed(question))) return;
  try {
    await act();
    tell(told);
  } catch (error) {
    tell(wordsOf(error), "bad");
    // Whether anything was changed is not known then, and the record stays where it is.
    if (!(error instanceof Refused && SETTLED.has(error.code))) return;
  }
  done();
}
