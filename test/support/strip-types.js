/**
 * Lets Node 20 run the tests' TypeScript, by leaving the types out and every line where it is. tsx does so too, in a
 * second of processor time for each test file, and with a wrapper around every function.
 */
import { register } from "node:module";

register("./strip-types-hooks.js", import.meta.url);
