/** What `npm ci` installs: exact versions, a whole lock file for every platform, and no script of a package run. */
import { readFileSync } from "node:fs";
import t from "tap";

interface Manifest {
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
  readonly hasInstallScript?: boolean;
  readonly resolved?: string;
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
}

const manifest = read("package.json") as Manifest;
const { packages } = read("package-lock.json") as { packages: Readonly<Record<string, Manifest>> };

/** Node's look-up: beside the package that asks, then further up. */
function isLocked(asker: string, name: string): boolean {
  for (let at = asker; ; at = at.slice(0, at.lastIndexOf("/node_modules/"))) {
    if (`${at}/node_modules/${name}` in packages) return true;
    if (!at.includes("/node_modules/")) return `node_modules/${name}` in packages;
  }
}

t.test("every dependency is pinned to one version", async (t) => {
  const direct = { ...manifest.dependencies, ...manifest.devDependencies };
  t.ok(Object.keys(direct).length > 10);
  const loose = Object.entries(direct).filter(
    ([, version]) => !/^\d+\.\d+\.\d+(-[a-z]+\.\d+)?$/.test(version),
  );
  t.same(loose, []);
});

t.test("the lock file holds the packages of every platform, or npm ci refuses it", async (t) => {
  const missing = Object.entries(packages).flatMap(
    ([asker, { dependencies, optionalDependencies }]) =>
      Object.keys({ ...dependencies, ...optionalDependencies })
        .filter((name) => !isLocked(asker, name))
        .map((name) => `${asker} → ${name}`),
  );
  t.same(missing, []);
});

t.test("the lock file names no registry: npm uses the one it is set up with", async (t) => {
  const named = Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined);
  t.same(
    named.map(([path]) => path),
    [],
  );
});

t.test(
  "each package with an install script is denied it: what they would build is prebuilt",
  async (t) => {
    const scripted = Object.entries(packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length));
    const decided = manifest.allowScripts ?? {};
    t.same(
      [...new Set(scripted)].filter((name) => decided[name] !== false),
      [],
    );
  },
);

t.test(
  "npm start leaves no shell in between that would keep SIGTERM from the gateway",
  async (t) => {
    t.equal(manifest.scripts?.["start"], "exec node dist/main.js");
  },
);
