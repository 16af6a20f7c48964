/**
 * Between a socket to the upstream and undici: lets through the answers that were asked for, byte for byte, and nothing
 * else. What comes while nothing was asked for breaks the connection, so that it answers no later request. The end of
 * the connection waits while undici is paused, which it does not survive.
 */
import type { Socket } from "node:net";
import { AnswerReader } from "./answer.ts";

export class AnswerGate {
  readonly #socket: Socket;
  readonly #push: (bytes: Buffer | null) => boolean;
  readonly #reader = new AnswerReader();
  #asked = false;
  #spent = false;
  #paused = false;
  #endHeld = false;

  /**
   * Node hands what a connection brings to `push`, TLS or not, whether anybody reads or not: a rested connection that
   * has brought something is known before it is used. A stream in between would cost every answer a turn of its own.
   */
  constructor(socket: Socket) {
    this.#socket = socket;
    this.#push = socket.push.bind(socket);
    socket.push = (bytes: Buffer | null) => this.#onBytes(bytes);
  }

  /** Right before the first byte of a request is written. */
  ask(method: string): void {
    this.#asked = true;
    this.#reader.begin(method);
  }

  /** Closed, or more came than was asked for. */
  get over(): boolean {
    return this.#spent || this.#socket.destroyed;
  }

  pause(): void {
    this.#paused = true;
  }

  /** `resume` is undici's, which may pause again before it returns. */
  resume(resume: () => void): void {
    this.#paused = false;
    resume();
    if (this.#paused || !this.#endHeld) return;
    this.#endHeld = false;
    this.#push(null);
    // As Node does behind its own: an end with nothing before it is told to who reads.
    this.#socket.read(0);
  }

  #onBytes(bytes: Buffer | null): boolean {
    if (bytes === null) {
      this.#endHeld = this.#paused;
      return this.#endHeld ? false : this.#push(null);
    }
    if (!this.#asked) {
      // What undici has not yet taken of the answer before these must reach it: then the call ends the connection.
      this.#spent = true;
      if (this.#socket.readableLength === 0 && !this.#paused) this.#break("unasked bytes");
      return true;
    }
    const heard = this.#reader.read(bytes);
    switch (heard.kind) {
      case "malformed":
        this.#break("malformed answer");
        return false;
      case "part":
        return heard.bytes === undefined || this.#push(heard.bytes);
      case "end":
        this.#asked = false;
        this.#spent = heard.more;
        return this.#push(heard.bytes);
    }
  }

  #break(message: string): void {
    this.#spent = true;
    // The code with which undici fails the running call alone; one that is queued behind gets a new connection.
    this.#socket.destroy(Object.assign(new Error(message), { code: "UND_ERR_SOCKET" }));
  }
}
