/**
 * The keys of `store.encryption`, read from where the file says they are. No message quotes what was found there.
 */
import { DEFAULT_ENCRYPTION } from "./defaults.ts";
import type { FileConfig } from "./file-schema.ts";
import type { Problem } from "./problems.ts";
import type { EncryptionConfig } from "./schema.ts";
import { readSecret } from "./secret-places.ts";

type EncryptionSettings = NonNullable<NonNullable<FileConfig["store"]>["encryption"]>;

export interface KeysRead {
  readonly encryption: EncryptionConfig | undefined;
  readonly problems: readonly Problem[];
}

const FORM =
  "must hold a key of 32 bytes, as 64 hex digits or as base64 (openssl rand -hex 32 makes one)";

/** Of settings that were found sound. Reads the environment that it is handed, and files. */
export function readEncryption(
  settings: EncryptionSettings | undefined,
  env: NodeJS.ProcessEnv,
): KeysRead {
  if (settings === undefined) return { encryption: undefined, problems: [] };
  const problems: Problem[] = [];
  const keys = (settings.keys ?? []).flatMap(({ id = "", ...place }, index) => {
    const read = readSecret(place, `store.encryption.keys[${index}]`, env, keyOf, FORM);
    if ("from" in read) return [{ id, ...read }];
    problems.push(read);
    return [];
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
