/**
 * A gateway that keeps what it has compiled when it ends, for `rehearsal.ts`: `keeper.ts PROGRAM PLACE [ARGUMENT]...`.
 */
import { compile } from "./compiled.ts";

const [node = "", , program = "", place = "", ...args] = process.argv;
process.argv = [node, program, ...args];
const compiled = compile(program, place);
process.once("exit", (code) => {
  if (code === 0) compiled.keep();
});
compiled.run();
