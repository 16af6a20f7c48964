import { runPart } from "../support/together.ts";

await runPart(import.meta.url);
