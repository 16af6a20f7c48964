/** The root of the repository stays a table of contents. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import t from "tap";

const ALLOWED = new Set([
  "CHANGELOG.md",
  "Dockerfile",
  "LICENSE",
  "README.md",
  "bench",
  "config",
  "deploy",
  "docs",
  "package-lock.json",
  "package.json",
  "src",
  "test",
  "tsconfig.json",
]);

t.test("git tracks nothing at the top level but what belongs there", async (t) => {
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  const tracked = execFileSync("git", ["ls-files", "-z"], { cwd, encoding: "utf8" }).split("\0");
  const entries = new Set(tracked.filter((path) => path !== "").map((path) => path.split("/")[0]));
  t.ok(entries.has("package.json"), "git lists the files");
  t.same(
    [...entries].filter((name = "") => !name.startsWith(".") && !ALLOWED.has(name)),
    [],
  );
});
