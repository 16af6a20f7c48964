/** The network is cut and both sides have a primary, while clients send and retry; see rows.ts for what counts. */
import t from "tap";
import { rowNamed } from "./rows.ts";
import { tried } from "./tried.ts";

const row = rowNamed("partition");
t.test(row.claim, (q) => tried(q, row));
