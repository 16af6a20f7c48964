/**
 * Prints what the demo does, and keeps count of what came out right and wrong. Plain text; colour only where a person
 * is looking at a terminal and has not set NO_COLOR. Decides nothing about requests.
 */
import { STATUS_CODES } from "node:http";
import { env, stdout } from "node:process";
import { type Answer, type Ask, header } from "./client.ts";

const SHOWN = ["Idempotency-Status", "Idempotent-Replayed", "Retry-After", "Location"];

const inColour = stdout.isTTY && !env["NO_COLOR"];
const paint = (code: number, text: string) => (inColour ? `\u001b[${code}m${text}\u001b[0m` : text);

/** What came out, and what has to come out. */
export interface Fact {
  readonly what: string;
  readonly is: string | number;
  readonly expected: string | number;
}

export class Transcript {
  #steps = 0;
  #right = 0;
  #wrong = 0;

  step(title: string): void {
    this.#steps += 1;
    print(`\n${paint(1, `${this.#steps}. ${title}`)}`);
  }

  note(text: string): void {
    print(`   ${paint(2, text)}`);
  }

  asked({ method, path, key, body }: Ask): void {
    const named = key === undefined ? "(no Idempotency-Key)" : `Idempotency-Key: ${key}`;
    print(`   ${paint(36, "→")} ${method} ${path}   ${named}   ${body ?? ""}`);
  }

  answered(answer: Answer): void {
    const { status, body } = answer;
    const fields = SHOWN.filter((name) => header(answer, name) !== "").map(
      (name) => `${name}: ${header(answer, name)}`,
    );
    print(`   ${paint(36, "←")} ${status} ${STATUS_CODES[status] ?? ""}   ${fields.join("   ")}`);
    const snippet = body.trim();
    print(`     ${paint(2, snippet.length > 160 ? `${snippet.slice(0, 160)}…` : snippet)}`);
  }

  /** One line of facts, each compared with what it has to be. */
  check(...facts: readonly Fact[]): void {
    const verdicts = facts.map(({ what, is, expected }) => {
      const right = is === expected;
      if (right) this.#right += 1;
      else this.#wrong += 1;
      return `${what} ${is} ${right ? paint(32, "✓") : paint(31, `✗ expected ${expected}`)}`;
    });
    print(`   ${verdicts.join("   ")}`);
  }

  /** Prints the sum; true when everything came out right. */
  conclude(): boolean {
    print(`\n${this.#right} checks right, ${this.#wrong} wrong`);
    return this.#wrong === 0 && this.#right > 0;
  }
}

function print(line: string): void {
  stdout.write(`${line.trimEnd()}\n`);
}
