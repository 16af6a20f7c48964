/** What is built runs with production dependencies alone. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import t from "tap";
import { describeError } from "../../src/observe/failure.ts";
import { call } from "../support/client.ts";
import { startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const dist = join(root, "dist");

function filesOf(folder: string, ending: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .toSorted();
}

/** Everything that the compiled text imports, statically or not. */
function importsOf(text: string): string[] {
  const found = text.matchAll(
    /\brequire\("([^"]+)"\)|\bimport\("([^"]+)"\)|^import\b[^;]*?"([^"]+)"/gmu,
  );
  return [...found].map(([, required, dynamic, imported]) => required ?? dynamic ?? imported ?? "");
}

function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

t.test("every import of dist is its own file, Node's, or a production dependency", async (q) => {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const used = new Set<string>();
  for (const name of filesOf(dist, "js")) {
    const file = join(dist, name);
    for (const specifier of importsOf(readFileSync(file, "utf8"))) {
      if (isBuiltin(specifier) || specifier.startsWith("node:")) continue;
      if (!specifier.startsWith(".")) used.add(packageOf(specifier));
      else if (!existsSync(join(file, "..", specifier))) q.fail(`${name} imports ${specifier}`);
    }
  }
  q.ok(used.has("lmdb"), "imports are found at all");
  q.same(
    [...used].filter((name) => !(name in dependencies)),
    [],
    "imports that an installation without development dependencies would miss",
  );
});

t.test(
  "dist holds the licence of every package that it holds code of, and of no other",
  async (q) => {
    const licences = readFileSync(join(dist, "LICENSES.txt"), "utf8")
      .split(/^-{80}\n/mu)
      .slice(1);
    const told = new Map(licences.map((part) => [/^(\S+ \S+)/u.exec(part)?.[1] ?? "", part]));
    const bundled = new Set<string>();
    for (const name of filesOf(dist, "js")) {
      // The bundler says in front of each module where it is from.
      for (const [, folder, from = ""] of readFileSync(join(dist, name), "utf8").matchAll(
        /^ *\/\/ ((?:.*\/)?node_modules\/)([^\n]+)$/gmu,
      )) {
        const file = join(root, `${folder}${packageOf(from)}`, "package.json");
        const manifest = JSON.parse(readFileSync(file, "utf8")) as {
          name: string;
          version: string;
        };
        bundled.add(`${manifest.name} ${manifest.version}`);
      }
    }
    q.ok(bundled.size > 30, `${bundled.size} packages`);
    q.same([...told.keys()], [...bundled].toSorted());
    for (const [name, part] of told) {
      q.match(part, /permission is hereby granted|permission to use, copy|apache license/iu, name);
      q.match(part, /copyright/iu, name);
    }
  },
);

t.test("nothing is imported where code that was kept may run", async (q) => {
  q.notMatch(readFileSync(join(dist, "app/main.cjs"), "utf8"), /\bimport\("/u);
});

t.test("the Lua scripts are in dist as in src", async (q) => {
  const [built, written] = ["dist/app/scripts", "src/store/scripts"].map((at) => join(root, at));
  const scripts = filesOf(written!, ".lua");
  q.ok(scripts.length > 0);
  q.same(filesOf(built!, ".lua"), scripts);
  for (const name of scripts) {
    q.ok(readFileSync(join(built!, name)).equals(readFileSync(join(written!, name))), name);
  }
});

t.test("an error in what is built is told with its place in the sources", async (q) => {
  const built = join(dist, "app/main.cjs");
  const lines = readFileSync(built, "utf8").split("\n");
  const frame = (text: string): string => {
    const row = lines.findIndex((line) => line.includes(text));
    q.not(row, -1, text);
    return `    at f (${pathToFileURL(built).href}:${row + 1}:${lines[row]!.search(/\S/u) + 1})`;
  };
  const error = new Error("no");
  const own = '"the gateway failed and ends"';
  const packages = 'Object.defineProperty(exports2, "__esModule"';
  error.stack = ["Error: no", frame(own), frame(packages)].join("\n");
  const [place = "", ...others] = describeError(error).stack ?? [];
  const [, file = "", row] = /^(.+):(\d+):\d+$/u.exec(place) ?? [];
  q.equal(file, "src/main.ts");
  q.match(readFileSync(join(root, file), "utf8").split("\n")[Number(row) - 1], own);
  q.same(others, [], "none of a package");
});

t.test(
  "it starts in a directory where there is nothing, with no configuration file named",
  async (q) => {
    const upstream = await startUpstream(q, { answer: { status: 201 } });
    const dir = tempDir(q);
    const gateway = await startGatewayProcess(q, ["--upstream", upstream.url], {}, dir);
    for (const status of ["executed", "replayed"]) {
      const answer = await call(`${gateway.url}/charges`, {
        method: "POST",
        headers: { "Idempotency-Key": "first" },
      });
      q.same([answer.status, answer.header("idempotency-status")], [201, status]);
    }
    q.ok(existsSync(join(dir, ".idempotency")), "its records are in that directory");
    q.equal(upstream.count(), 1, "upstream calls");
  },
);
