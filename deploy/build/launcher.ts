/** What `dist/main.js` is: it runs the program beside it, from code that the build has kept. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { compile } from "./compiled.ts";

const program = fileURLToPath(new URL("app/main.cjs", import.meta.url));
// Node follows the maps of what it has loaded itself, and of nothing else.
if (process.sourceMapsEnabled) createRequire(program)(program);
else compile(program).run();
