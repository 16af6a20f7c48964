/** The one digest of everything that is identified by its content: SHA-256 over length-prefixed parts. */
import { createHash, hash, type Hash } from "node:crypto";

/** A part of bytes up to here is copied, to be hashed in one go with the rest. */
const COPIED_BYTES = 64 * 1024;

/** Collects the parts: hashing them in one go takes 2.2 us, where an update for each takes 5.4. */
export class Digest {
  #before: Uint8Array | undefined;
  #text = "";
  /** Once there was a long part of bytes, or a second one. */
  #begun: Hash | undefined;

  /** Adds one length-prefixed part; `undefined` is a part of its own that no value can spell. */
  add(part: string | Uint8Array | undefined): void {
    if (part === undefined) this.#text += "-;";
    else if (typeof part === "string") {
      this.#text += `${Buffer.byteLength(part, "utf8")}:${part}`;
    } else this.#addBytes(part);
  }

  #addBytes(part: Uint8Array): void {
    const text = Buffer.from(`${this.#text}${part.byteLength}:`);
    this.#text = "";
    if (this.#begun === undefined && this.#before === undefined && part.length <= COPIED_BYTES) {
      this.#before = Buffer.concat([text, part]);
      return;
    }
    this.#begun ??= createHash("sha256").update(this.#before ?? "");
    this.#begun.update(text).update(part);
  }

  /** To be called once. `hex`: 64 digits. */
  end(encoding: "hex" | "base64url" = "hex"): string {
    if (this.#begun !== undefined) return this.#begun.update(this.#text).digest(encoding);
    if (this.#before === undefined) return hash("sha256", this.#text, encoding);
    return hash("sha256", Buffer.concat([this.#before, Buffer.from(this.#text)]), encoding);
  }
}
