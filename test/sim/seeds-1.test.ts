/** A part of the simulation's seeds: no promise is broken. */
import { trySeeds } from "./part.ts";

await trySeeds(1, 4);
