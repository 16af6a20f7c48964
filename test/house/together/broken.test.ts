/** Breaks while it is read, after one test. */
import t from "tap";

t.test("stands before the break", async (t) => t.pass("runs"));
throw new Error("breaks");
