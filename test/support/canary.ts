/** A secret that is looked for everywhere it must not be: as it stands, and in the encodings it might hide in. */
import { randomBytes } from "node:crypto";

export interface Canary {
  /** The secret for one place; `where` is part of it, so that a leak says where it came from. */
  at(where: string): string;
  /** Everything that must be clean. */
  keep(where: string, text: string): void;
  /** How many texts were kept. */
  readonly kept: number;
  /** The places where it was found, with a little of what stands around it. */
  leaks(): readonly string[];
}

export function newCanary(): Canary {
  // Of 24 bytes: base64 of it is then the same wherever it begins at a multiple of 3.
  const secret = `c4n4ry${randomBytes(9).toString("hex")}`;
  const bytes = Buffer.from(secret);
  const forms = [
    secret,
    bytes.toString("base64"),
    bytes.toString("base64url"),
    bytes.toString("hex"),
    [...bytes].map((byte) => `%${byte.toString(16)}`).join(""),
    [...bytes].join(","),
    [...bytes].join(", "),
    Array.from(secret).toReversed().join(""),
    // Most of it is too much of it.
    secret.slice(0, 12),
    secret.slice(-12),
  ].map((form) => form.toLowerCase());
  const texts: { readonly where: string; readonly text: string }[] = [];
  return {
    at: (where) => `${secret}${where}`,
    keep: (where, text) => void texts.push({ where, text }),
    get kept() {
      return texts.length;
    },
    leaks: () =>
      texts.flatMap(({ where, text }) => {
        const lower = text.toLowerCase();
        const form = forms.find((one) => lower.includes(one));
        if (form === undefined) return [];
        const at = lower.indexOf(form);
        return [`${where}: …${text.slice(Math.max(0, at - 80), at + 80)}…`];
      }),
  };
}
