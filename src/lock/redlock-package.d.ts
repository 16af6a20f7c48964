/**
 * What of redlock 5.0.0-beta.2 is used here. Its own declarations do not resolve under `nodenext`, because its
 * `exports` name none. The client is what redlock calls and no more, so that no Redis library shows through.
 */
declare module "redlock" {
  export interface Client {
    /** `args`: the keys, `keyCount` of them, then the arguments. */
    evalsha(hash: string, keyCount: number, args: readonly (string | number)[]): Promise<unknown>;
    eval(script: string, keyCount: number, args: readonly (string | number)[]): Promise<unknown>;
  }

  /** How one round over all clients ended. */
  export interface ExecutionStats {
    readonly membershipSize: number;
    readonly quorumSize: number;
    readonly votesFor: ReadonlySet<Client>;
    readonly votesAgainst: ReadonlyMap<Client, Error>;
  }

  /** A client's answer that the key is held, or on release that it is not. */
  export class ResourceLockedError extends Error {}

  export class ExecutionError extends Error {
    /** Each resolves when all clients have voted, and never where one stays silent. */
    readonly attempts: readonly Promise<ExecutionStats>[];
  }

  export interface Lock {
    readonly value: string;
    readonly resources: readonly string[];
  }

  interface Script {
    readonly hash: string;
    readonly value: string;
  }

  class Redlock {
    readonly scripts: Readonly<Record<"acquireScript" | "extendScript" | "releaseScript", Script>>;
    constructor(clients: Iterable<Client>, settings: { readonly retryCount: number });
    /** `duration`: whole milliseconds. */
    acquire(resources: string[], duration: number): Promise<Lock>;
    release(lock: Lock): Promise<unknown>;
  }

  export { Redlock as default };
}
