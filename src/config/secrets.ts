/** Texts that the file keeps elsewhere: in a file, or in the environment. No message quotes what was found there. */
import { readFileSync } from "node:fs";

export type Found =
  | { readonly text: string }
  | { readonly text: undefined; readonly fault: string };

export function fileText(path: string): Found {
  try {
    return { text: readFileSync(path, "utf8") };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "no code";
    return { text: undefined, fault: `names a file that cannot be read (${code})` };
  }
}

export function variableText(env: NodeJS.ProcessEnv, name: string): Found {
  const text = env[name];
  if (text !== undefined && text !== "") return { text };
  return { text: undefined, fault: "names an environment variable that is not set" };
}
