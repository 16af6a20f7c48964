/**
 * `notify.webhook`: what contradicts what in it, and its secrets, read from where the file says they are. No message quotes
 * what was found there.
 */
import { DEFAULT_WEBHOOK } from "./defaults.ts";
import type { FileConfig } from "./file-schema.ts";
import type { Contradiction, Problem } from "./problems.ts";
import type { WebhookConfig } from "./schema.ts";
import { placeContradictions, readSecret } from "./secret-places.ts";
import { parseDuration } from "./units.ts";

type WebhookSettings = NonNullable<NonNullable<FileConfig["notify"]>["webhook"]>;

const SECTION = "notify.webhook";

export function webhookContradictions({ notify }: FileConfig): Contradiction[] {
  const webhook = notify?.webhook;
  if (webhook === undefined) return [];
  const found: Contradiction[] = [];
  const tell = (path: string, message: string, ...reads: string[]) =>
    found.push({ path: `${SECTION}.${path}`, message, reads });
  if (webhook.url === undefined) tell("url", "is required: who is told of unknown outcomes");
  const { secrets = [] } = webhook;
  if (secrets.length === 0) {
    tell("secrets", "is required: at least one, or the receiver could not know who calls it");
  }
  for (const [index, place] of secrets.entries()) {
    found.push(...placeContradictions(place, `${SECTION}.secrets[${index}]`, "the secret"));
  }
  const { timeout, retryFor } = { ...DEFAULT_WEBHOOK, ...webhook };
  // Written so that a duration that is none tells nothing.
  if ((parseDuration(retryFor) ?? Number.NaN) < (parseDuration(timeout) ?? Number.NaN)) {
    tell(
      "retryFor",
      `must be at least ${SECTION}.timeout (${timeout}), which bounds the first try alone`,
      `${SECTION}.timeout`,
    );
  }
  return found;
}

export interface WebhookRead {
  readonly secrets: WebhookConfig["secrets"];
  readonly problems: readonly Problem[];
}

const FORM =
  'must hold a secret of 24 to 64 bytes as base64, with "whsec_" before it or without (openssl rand -base64 32 makes one)';

/** Of settings that were found sound. Reads the environment that it is handed, and files. */
export function readWebhookSecrets(
  settings: WebhookSettings | undefined,
  env: NodeJS.ProcessEnv,
): WebhookRead {
  const problems: Problem[] = [];
  const secrets = (settings?.secrets ?? []).flatMap((place, index) => {
    const read = readSecret(place, `${SECTION}.secrets[${index}]`, env, secretOf, FORM);
    if ("from" in read) return [read];
    problems.push(read);
    return [];
  });
  for (const [index, { secret }] of secrets.entries()) {
    const twin = secrets.findIndex((other) => other.secret === secret);
    if (twin === index) continue;
    const message = `is the same secret as ${SECTION}.secrets[${twin}]`;
    problems.push({ path: `${SECTION}.secrets[${index}]`, message });
  }
  return { secrets, problems };
}

/** As base64 in its one form, of as many bytes as Standard Webhooks permits. */
function secretOf(text: string): string | undefined {
  const encoded = text.replace(/^whsec_/u, "");
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/u.test(encoded)) return undefined;
  const bytes = Buffer.from(encoded, "base64");
  // What Node has not taken in as it stood would be another secret than the receiver's.
  const plain = encoded.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/u, "");
  if (bytes.toString("base64").replace(/=+$/u, "") !== plain) return undefined;
  return bytes.length >= 24 && bytes.length <= 64 ? bytes.toString("base64") : undefined;
}
