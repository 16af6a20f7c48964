/**
 * Checks the types of src/ and makes dist/ of it: `dist/main.js`, which is the package's command, what it loads, the
 * licences of the packages in it, and the console's page. Does not install anything.
 *
 * The output is made aside and swapped in by a rename: a failed build leaves the old dist/ alone, a file that has left
 * src/ leaves dist/ too, and a gateway that starts during a build finds a whole one.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle, bundleConsole } from "./bundle.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

checkTypes("src");
checkTypes("src/console");
const dist = join(root, "dist");
// Within the checkout, because a rename does not cross file systems.
const next = mkdtempSync(join(root, "node_modules", ".build-"));
try {
  const licences = await bundle({
    root,
    entry: "src/main.ts",
    outDir: join(dist, "app"),
    writtenTo: join(next, "app"),
  });
  writeFileSync(join(next, "LICENSES.txt"), licences);
  await bundleConsole(root, join(next, "console"));
  const main = join(next, "main.js");
  writeFileSync(main, '#!/usr/bin/env node\nimport "./app/main.js";\n');
  // mkdtemp leaves a directory that only its owner enters; an image runs as somebody else.
  chmodSync(next, 0o755);
  // The package's `bin`: npm sets the bit on install, a checkout has only us.
  chmodSync(main, 0o755);
  rmSync(dist, { recursive: true, force: true });
  renameSync(next, dist);
} finally {
  rmSync(next, { recursive: true, force: true });
}

function checkTypes(project: string): void {
  const manifest = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(manifest), "bin", "tsc");
  const args = [tsc, "-p", join(root, project)];
  const { status, error } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
