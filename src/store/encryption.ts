/**
 * Encryption of what is stored, by AES-256-GCM (NIST SP 800-38D): what an answer or a cell says is sealed to the place
 * it was written for. Keys arrive ready; the layout around the sealed bytes is codec.ts's and encrypted-cells.ts's.
 *
 * Each record and each cell has a key of its own, derived (HKDF, RFC 5869) from the configured one: random 96-bit
 * nonces under one key are safe for 2^32 writes, which a busy gateway makes within weeks, and no record comes near.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { RecordCorrupt } from "../core/ports.ts";

export interface EncryptionKey {
  readonly id: string;
  /** 32 bytes. */
  readonly secret: KeyObject;
}

export interface Keyring {
  /** The first one writes, all of them read. At least one. */
  readonly keys: readonly EncryptionKey[];
  /** What was stored without encryption: an alarm, or an answer like any other. */
  readonly plain: "refuse" | "accept";
}

/** What the sealed bytes belong to: they open under the same words only, in the same order. */
export type Place = readonly [kind: "record" | "cell", ...words: string[]];

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** How much longer the sealed bytes are than the plain ones. */
export const SEALED_BYTES = NONCE_BYTES + TAG_BYTES;

/** Seals and opens the parts of one place. */
export interface PlaceCipher {
  readonly keyId: string;
  /** `nonce ‖ ciphertext ‖ tag`. `part` tells the parts of one place from each other. */
  seal(part: string, plain: Uint8Array): Buffer;
  /** @throws RecordCorrupt when these are not the bytes that were sealed for this part of this place. */
  open(part: string, sealed: Uint8Array): Buffer;
}

/** With the key that writes. */
export function cipherFor({ keys }: Keyring, place: Place): PlaceCipher {
  const [first] = keys;
  if (first === undefined) throw new TypeError("a keyring has at least one key");
  return cipherOf(first, place);
}

/** @throws RecordCorrupt when nobody here has the key. */
export function cipherNamed({ keys }: Keyring, keyId: string, place: Place): PlaceCipher {
  const key = keys.find(({ id }) => id === keyId);
  // The id stays unsaid: it comes from the store, and may be anything.
  if (key === undefined) {
    throw new RecordCorrupt("The stored record is encrypted with a key that is not configured.", {
      reason: "key-unknown",
    });
  }
  return cipherOf(key, place);
}

/** Length-prefixed, so that no two places spell the same bytes. */
function bound(words: readonly string[]): string {
  return words.map((word) => `${Buffer.byteLength(word)}:${word}`).join("");
}

function cipherOf({ id: keyId, secret }: EncryptionKey, place: Place): PlaceCipher {
  const where = bound([keyId, ...place]);
  // HKDF-Expand, one block of it: the configured key is random already, so there is nothing to extract (RFC 5869 §3.3).
  // Measured, 6 us; `hkdfSync` takes 23.
  const key = createHmac("sha256", secret).update(`idempotency-gateway ${where}\x01`).digest();
  const associated = (part: string): Buffer => Buffer.from(bound([part]) + where);
  return {
    keyId,
    seal(part, plain) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(associated(part));
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(part, sealed) {
      if (sealed.length < SEALED_BYTES) throw notAuthentic();
      const tagAt = sealed.length - TAG_BYTES;
      const nonce = sealed.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(associated(part));
      decipher.setAuthTag(sealed.subarray(tagAt));
      const plain = decipher.update(sealed.subarray(NONCE_BYTES, tagAt));
      try {
        // DANGER: nothing of `plain` may be looked at before this has not thrown.
        decipher.final();
      } catch {
        throw notAuthentic();
      }
      return plain;
    },
  };
}

function notAuthentic(): RecordCorrupt {
  return new RecordCorrupt("The stored record is not what was encrypted for this place.", {
    reason: "not-authentic",
  });
}

/** Where encryption is required, what is not encrypted was not written by this gateway. */
export function refusePlain(): RecordCorrupt {
  return new RecordCorrupt(
    "The stored record is not encrypted, and store.encryption refuses that.",
    {
      reason: "not-encrypted",
    },
  );
}

export function noKeys(): RecordCorrupt {
  return new RecordCorrupt("The stored record is encrypted, and no key is configured.", {
    reason: "key-unknown",
  });
}
