/**
 * Streams that are read on although their clients have left, so that the upstream can finish what it does: for a
 * while, and no longer once the gateway stops. Knows nothing of what is read.
 */

/** How long an upstream may go on for a client that has left. An event stream may have no end. */
const READ_ON_MS = 30_000;

export class ReadOn {
  readonly #letGo = new Set<() => void>();
  #stopping = false;

  /** Calls `letGo` after a while, or when the gateway stops, and not any more once what is returned was called. */
  begin(letGo: () => void): () => void {
    const end = (): void => {
      clearTimeout(timer);
      this.#letGo.delete(fire);
    };
    const fire = (): void => {
      end();
      letGo();
    };
    const timer = setTimeout(fire, this.#stopping ? 0 : READ_ON_MS);
    this.#letGo.add(fire);
    return end;
  }

  /** Lets go of all that there are, and from now on of each at once. */
  stop(): void {
    this.#stopping = true;
    for (const fire of this.#letGo) fire();
  }
}
