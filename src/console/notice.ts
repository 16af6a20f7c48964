/** What is said to the operator: a line that a screen reader reads out, and a question that has to be answered. */
import { button, element } from "./elements.ts";
import { Refused } from "./port.ts";

const SHOWN_MS = 8000;

const line = element("div", { class: "toast", role: "status", "aria-live": "polite" });
let fading: ReturnType<typeof setTimeout> | undefined;

/** To be put into the page once. */
export const notices: HTMLElement = line;

export function tell(text: string, kind: "good" | "bad" = "good"): void {
  clearTimeout(fading);
  line.className = `toast shown ${kind}`;
  line.textContent = text;
  fading = setTimeout(() => {
    line.className = "toast";
    line.textContent = "";
  }, SHOWN_MS);
}

/** The port's own words for a refusal; everything else is a defect of this page, and goes on. */
export function wordsOf(error: unknown): string {
  if (error instanceof Refused) return error.message;
  throw error;
}

export interface Question {
  readonly title: string;
  readonly about: readonly (Node | string)[];
  /** What the button that does it says. */
  readonly yes: string;
  readonly grave: boolean;
}

/** Resolves when the dialog is closed; Escape, and everything but its one button, is a no. */
export function confirmed(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    let answer = false;
    const close = (): void => dialog.close();
    const no = button("Cancel", close, { autofocus: true });
    const yes = button(
      question.yes,
      () => {
        answer = true;
        close();
      },
      { class: question.grave ? "grave" : "primary" },
    );
    const title = element("h2", { id: "question" }, question.title);
    const dialog = element(
      "dialog",
      {
        "aria-labelledby": "question",
        close: () => {
          dialog.remove();
          resolve(answer);
        },
      },
      title,
      ...question.about,
      element("div", { class: "actions" }, no, yes),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
