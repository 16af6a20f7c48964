/** Kill -9 at random times, paused past the lease, stopped under load: the CI part of the rows. */
import t from "tap";
import { rowNamed } from "./rows.ts";
import { tryRow } from "./try-row.ts";

for (const name of ["crash-random", "paused", "graceful-stops"]) tryRow(t, rowNamed(name));
