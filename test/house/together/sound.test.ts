import t from "tap";

t.test("stands behind all others", async (t) => t.pass("runs"));
