/**
 * The licences of the packages that a bundle holds code of, as one text to be passed on with it. Reads each package's own
 * files; judges no licence.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What esbuild says of a bundle, as far as it is read here. */
export interface Bundled {
  readonly outputs: Readonly<
    Record<
      string,
      { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }
    >
  >;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

const FOLDER = "node_modules/";
const FILE = /^(?:licen[cs]e|copying|notice)(?:[.-].*)?$/iu;

/**
 * By name and version, each package once, however often it is installed. `root`: what the paths in `bundled` are below.
 * @throws Error where a package says nothing of its licence
 */
export function licencesOf(root: string, bundled: Bundled): string {
  const folders = new Set(
    Object.values(bundled.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs)
        .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
        .flatMap(([path]) => folderOf(path) ?? []),
    ),
  );
  const parts = [...folders].map((folder) => partOf(join(root, folder)));
  const sorted = [...new Set(parts)].toSorted();
  return `This program holds code of the ${sorted.length} packages below, each under its own licence.\n${sorted.join("")}`;
}

/** `undefined` for what is our own. */
function folderOf(path: string): string | undefined {
  const at = path.lastIndexOf(FOLDER);
  if (at === -1) return undefined;
  const inside = path.slice(at + FOLDER.length);
  const name = inside.split("/", inside.startsWith("@") ? 2 : 1).join("/");
  return path.slice(0, at + FOLDER.length) + name;
}

function partOf(folder: string): string {
  const { name, version, license } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  ) as Manifest;
  const texts = readdirSync(folder)
    .filter((file) => FILE.test(file))
    .toSorted()
    .map((file) => readFileSync(join(folder, file), "utf8").trim());
  if (texts.length === 0 && license === undefined) {
    throw new Error(`${name} ${version} is bundled and says nothing of its licence.`);
  }
  const head = `${name} ${version}${license === undefined ? "" : ` (${license})`}`;
  const none = "The package carries no licence text of its own.";
  const body = texts.length > 0 ? texts.join("\n\n") : none;
  return `\n${"-".repeat(80)}\n${head}\n\n${body}\n`;
}
