/**
 * Chance that can be had again: the same seed draws the same numbers in the same order, on every machine. Small and
 * fast (sfc32); good enough to choose faults by, and nothing that keeps a secret.
 */
export class Random {
  #a: number;
  #b: number;
  #c = 0x9e3779b9;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad);
    // The first numbers of neighbouring seeds resemble one another.
    for (let i = 0; i < 12; i += 1) this.uint32();
  }

  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** 0 to `below` - 1. */
  int(below: number): number {
    return Math.floor((this.uint32() / 0x1_0000_0000) * below);
  }

  /** `from` to `to`, both possible. */
  between(from: number, to: number): number {
    return from + this.int(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.uint32() < probability * 0x1_0000_0000;
  }

  pick<T>(of: readonly T[]): T {
    const picked = of[this.int(of.length)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }

  /** 128 bits as 32 hex digits. */
  token(): string {
    let token = "";
    for (let i = 0; i < 4; i += 1) {
      const word = this.uint32();
      token += hexOf(word >>> 24) + hexOf(word >>> 16) + hexOf(word >>> 8) + hexOf(word);
    }
    return token;
  }
}

/** Two digits each: a table of four would not fit into the processor's cache. */
const HEX = Array.from({ length: 0x100 }, (_, n) => n.toString(16).padStart(2, "0"));

/** The two digits of the lowest byte. */
function hexOf(word: number): string {
  return HEX[word & 0xff] ?? "";
}
