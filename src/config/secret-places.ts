/**
 * Secrets that stand elsewhere than in the configuration file: alone in a file of their own, or in an environment variable.
 * No message quotes what was found there.
 */
import { readFileSync } from "node:fs";
import type { Contradiction, Problem } from "./problems.ts";

/** Where a secret was read, for `--print-config`. */
export type SecretPlace = { readonly file: string } | { readonly env: string };

export interface PlaceSettings {
  readonly file?: string;
  readonly env?: string;
}

export type SecretRead = { readonly from: SecretPlace; readonly secret: string } | Problem;

/**
 * Of a place that was found sound, at this path of the configuration. `secretOf` says what the secret is in the text that
 * stands there, `undefined` where it is none; `form` is what is said then.
 */
export function readSecret(
  { file, env: variable }: PlaceSettings,
  path: string,
  env: NodeJS.ProcessEnv,
  secretOf: (text: string) => string | undefined,
  form: string,
): SecretRead {
  const from = file === undefined ? { env: variable ?? "" } : { file };
  const found = "file" in from ? fileText(from.file) : variableText(env, from.env);
  const place = `${path}.${"file" in from ? "file" : "env"}`;
  if (found.text === undefined) return { path: place, message: found.fault };
  const secret = secretOf(found.text.trim());
  return secret === undefined ? { path: place, message: form } : { from, secret };
}

/** What is wrong with where it says that a secret is. `what`: the secret, with its article. */
export function placeContradictions(
  { file, env }: PlaceSettings,
  path: string,
  what: string,
): Contradiction[] {
  if ((file === undefined) !== (env === undefined)) return [];
  return [{ path, message: `must say where ${what} is: either file or env`, reads: [] }];
}

type Found = { readonly text: string } | { readonly text: undefined; readonly fault: string };

function fileText(path: string): Found {
  try {
    return { text: readFileSync(path, "utf8") };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "no code";
    return { text: undefined, fault: `names a file that cannot be read (${code})` };
  }
}

function variableText(env: NodeJS.ProcessEnv, name: string): Found {
  const text = env[name];
  if (text !== undefined && text !== "") return { text };
  return { text: undefined, fault: "names an environment variable that is not set" };
}
