/** The image is what the documentation says: unprivileged, signals reach the process, nothing of the tool chain inside. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { stagesOf } from "../support/dockerfile.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(root + path, "utf8");

const stages = stagesOf(read("Dockerfile"));
const final = stages.at(-1) ?? [];
const texts = (name: string) => final.filter((each) => each.name === name).map(({ text }) => text);

t.test("every stage starts from one and the same tagged image", async (t) => {
  const images = stages.map(([from]) => from?.text.split(" ")[0]);
  t.equal(images.length, 2);
  t.equal(new Set(images).size, 1);
  t.match(images[0], /^node:\d+-[a-z]+-slim$/);
});

t.test("the process is PID 1 itself: entry point and health check are in exec form", async (t) => {
  t.same(texts("ENTRYPOINT"), ['["node", "/app/dist/main.js"]']);
  t.same(texts("CMD"), []);
  const [check = ""] = texts("HEALTHCHECK");
  const command: unknown = JSON.parse(check.slice(check.indexOf("CMD ") + 4));
  t.match(command, ["node", "-e", /127\.0\.0\.1:9091\/livez/]);
});

t.test("the process is not root, and nothing runs after the user was changed", async (t) => {
  t.same(texts("USER"), ["node"]);
  const after = final.slice(final.findIndex(({ name }) => name === "USER"));
  t.same(
    after.map(({ name }) => name),
    ["USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"],
  );
  t.same(texts("EXPOSE"), ["8080 9091"]);
});

t.test("the final stage installs nothing and gets production dependencies only", async (t) => {
  t.notMatch(texts("RUN").join("\n"), /npm|yarn|apt|curl/);
  const build = stages[0] ?? [];
  const runs = build.filter(({ name }) => name === "RUN").map(({ text }) => text);
  t.match(runs.at(0), /^npm ci /);
  t.match(runs.at(-1), /^npm ci --omit=dev /);
});

t.test("the image has the whole of dist, the licences of what is bundled included", async (t) => {
  t.ok(texts("COPY").includes("--from=build /app/dist dist"));
  t.ok(existsSync(`${root}dist/LICENSES.txt`));
  t.notMatch(texts("RUN").join("\n"), /\brm\b/);
});

t.test("the embedded store has a volume that the user owns", async (t) => {
  const [volume = ""] = texts("VOLUME");
  t.ok(volume.startsWith("/"));
  t.ok(texts("ENV").includes(`IDEMPOTENCY_GATEWAY_STORE=file:${volume}`));
  t.match(texts("RUN").join("\n"), `install -d -o node -g node -m 0700 ${volume}`);
});

t.test("the build context lets in exactly what is copied from it", async (t) => {
  const admitted = read(".dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = stages.flat().flatMap(({ name, text }) => {
    if (name !== "COPY" || text.startsWith("--from=")) return [];
    return text.split(" ").slice(0, -1);
  });
  t.same(admitted.toSorted(), [...new Set(copied)].toSorted());
  for (const path of copied) t.ok(existsSync(root + path), `${path} exists`);
});

t.test("the image's version is the package's", async (t) => {
  const { version } = JSON.parse(read("package.json")) as { version: string };
  t.match(texts("LABEL").join(), `org.opencontainers.image.version="${version}"`);
});
