/**
 * Checks the types of src/ and makes dist/ of it: `dist/main.js`, which is the package's command, what it loads, what of
 * that is compiled already, the licences of the packages in it, and the console's page. Does not install anything.
 *
 * The output is made aside, tried, and swapped in by a rename: a failed build leaves the old dist/ alone, a file that has
 * left src/ leaves dist/ too, and a gateway that starts during a build finds a whole one.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle, bundleConsole, bundleLauncher, rewriteInAscii } from "./bundle.ts";
import { rehearse } from "./rehearsal.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

checkTypes("src");
checkTypes("src/console");
const dist = join(root, "dist");
// Within the checkout, because a rename does not cross file systems, and what is bundled must find its packages.
const aside = mkdtempSync(join(root, "node_modules", ".build-"));
try {
  const next = join(aside, "dist");
  mkdirSync(next);
  const licences = await bundle({
    root,
    entry: "src/main.ts",
    outDir: join(dist, "app"),
    writtenTo: join(next, "app"),
  });
  const program = "app/main.cjs";
  await rewriteInAscii(join(next, program));
  writeFileSync(join(next, "LICENSES.txt"), licences);
  await bundleConsole(root, join(next, "console"));
  await bundleLauncher(root, join(next, "main.js"));
  // The package's own says that its files are modules; these are none.
  writeFileSync(join(next, "package.json"), '{ "type": "commonjs" }\n');
  // What the gateway looks for beside dist/.
  for (const name of ["package.json", "config"]) {
    cpSync(join(root, name), join(aside, name), { recursive: true });
  }
  await rehearse(join(next, program), join(dist, program));
  rmSync(dist, { recursive: true, force: true });
  renameSync(next, dist);
} finally {
  rmSync(aside, { recursive: true, force: true });
}

function checkTypes(project: string): void {
  const manifest = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(manifest), "bin", "tsc");
  const args = [tsc, "-p", join(root, project)];
  const { status, error } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
