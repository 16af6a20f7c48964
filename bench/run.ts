/** What a workload is given: where it runs, who is there, what was asked for, and where it may say how far it is. */
import type { Lineup } from "./lineup.ts";
import type { Options } from "./options.ts";
import type { Site } from "./site.ts";

export interface Run {
  readonly site: Site;
  readonly lineup: Lineup;
  readonly options: Options;
  readonly say: (text: string) => void;
}
