/** The terminal that the process was started on. */
import { createInterface } from "node:readline/promises";
import type { Terminal } from "./records.ts";

/** `print` resolves when the text is out, and rejects where it cannot be written. */
export function processTerminal(print: (text: string) => Promise<void>): Terminal {
  return {
    out: print,
    err: (text) => void process.stderr.write(text),
    watched: process.stderr.isTTY,
    ask: process.stdin.isTTY ? ask : undefined,
    input: () => process.stdin,
  };
}

/** Nothing where the question was broken off. */
async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question);
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") return "";
    throw error;
  } finally {
    lines.close();
  }
}
