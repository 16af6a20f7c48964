/**
 * The keys of `store.encryption`, read from where the file says they are. No message quotes what was found there.
 */
import { DEFAULT_ENCRYPTION } from "./defaults.ts";
import type { FileConfig } from "./file-schema.ts";
import type { Problem } from "./problems.ts";
import type { EncryptionConfig } from "./schema.ts";
import { fileText, variableText } from "./secrets.ts";

type EncryptionSettings = NonNullable<NonNullable<FileConfig["store"]>["encryption"]>;

export interface KeysRead {
  readonly encryption: EncryptionConfig | undefined;
  readonly problems: readonly Problem[];
}

/** Of settings that were found sound. Reads the environment that it is handed, and files. */
export function readEncryption(
  settings: EncryptionSettings | undefined,
  env: NodeJS.ProcessEnv,
): KeysRead {
  if (settings === undefined) return { encryption: undefined, problems: [] };
  const problems: Problem[] = [];
  const keys = (settings.keys ?? []).flatMap(({ id = "", file, env: variable }, index) => {
    const at = `store.encryption.keys[${index}]`;
    const from = file === undefined ? { env: variable ?? "" } : { file };
    const found = "file" in from ? fileText(from.file) : variableText(env, from.env);
    const place = `${at}.${"file" in from ? "file" : "env"}`;
    if (found.text === undefined) {
      problems.push({ path: place, message: found.fault });
      return [];
    }
    const secret = keyOf(found.text.trim());
    if (secret === undefined) {
      const message =
        "must hold a key of 32 bytes, as 64 hex digits or as base64 (openssl rand -hex 32 makes one)";
      problems.push({ path: place, message });
      return [];
    }
    return [{ id, from, secret }];
  });
  for (const [index, { secret }] of keys.entries()) {
    const twin = keys.findIndex((key) => key.secret === secret);
    if (twin === index) continue;
    problems.push({
      path: `store.encryption.keys[${index}]`,
      message: `is the same key as store.encryption.keys[${twin}] under another id`,
    });
  }
  const { plain } = { ...DEFAULT_ENCRYPTION, ...settings };
  return { encryption: { keys, plain }, problems };
}

/** As hex. 32 bytes in base64 are 43 characters and a `=`; the last one holds four bits. */
function keyOf(text: string): string | undefined {
  if (/^[0-9A-Fa-f]{64}$/u.test(text)) return text.toLowerCase();
  if (!/^[A-Za-z0-9+/_-]{42}[AEIMQUYcgkosw048]=?$/u.test(text)) return undefined;
  return Buffer.from(text, "base64").toString("hex");
}
