/** The one digest of everything that is identified by its content: SHA-256 over length-prefixed parts. */
import { createHash, hash, type Hash } from "node:crypto";

/** Collects the parts as text: hashing it in one go takes 2.2 us, where an update for each takes 5.4. */
export class Digest {
  #text = "";
  /** Once there was a part of bytes. */
  #begun: Hash | undefined;

  /** Adds one length-prefixed part; `undefined` is a part of its own that no value can spell. */
  add(part: string | Uint8Array | undefined): void {
    if (part === undefined) {
      this.#text += "-;";
    } else if (typeof part === "string") {
      this.#text += `${Buffer.byteLength(part, "utf8")}:${part}`;
    } else {
      this.#begun ??= createHash("sha256");
      this.#begun.update(`${this.#text}${part.byteLength}:`).update(part);
      this.#text = "";
    }
  }

  /** To be called once. `hex`: 64 digits. */
  end(encoding: "hex" | "base64url" = "hex"): string {
    return this.#begun === undefined
      ? hash("sha256", this.#text, encoding)
      : this.#begun.update(this.#text).digest(encoding);
  }
}
