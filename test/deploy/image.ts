/**
 * The Dockerfile without Docker: its instructions, one by one, in empty directories, with this machine's Node in the place of
 * the image's; then what it starts, as its user, on a root that cannot be written, until a charge was executed once.
 * Needs root and the package registry, takes a minute or two, and is therefore run by hand: `npx tsx test/deploy/image.ts`.
 */
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Instruction, stagesOf } from "../support/dockerfile.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SYSTEM = ["usr", "bin", "sbin", "lib", "lib64"];
/** As in the official images. */
const USERS = "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n";
const GROUPS = "root:x:0:\nnode:x:1000:\n";
/** What the host knows of the network and of certificates. */
const KNOWN = ["resolv.conf", "hosts", "ssl", "ld.so.cache", "ld.so.conf", "nsswitch.conf"];

interface Stage {
  readonly name: string;
  /** Where its root is. */
  readonly dir: string;
  workdir: string;
  user: string;
  readonly env: Map<string, string>;
  readonly volumes: string[];
  health: readonly string[];
  entry: readonly string[];
}

const base = mkdtempSync(join(tmpdir(), "idempotency-gateway-image-"));
const context = join(base, "context");

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs it in a mount namespace of its own, where the stage's root has the system below it. */
function inside(stage: Stage, options: { readonly script: string; readonly net: boolean }): string {
  const mounts = SYSTEM.map((name) => `mount --rbind /${name} ${stage.dir}/${name}`);
  const script = [
    "set -e",
    "mount --make-rprivate /",
    ...mounts,
    `mount --rbind /dev ${stage.dir}/dev`,
    `mount -t proc proc ${stage.dir}/proc`,
    `mount -t tmpfs tmpfs ${stage.dir}/tmp`,
    options.script,
  ].join("\n");
  const flags = ["--mount", "--pid", "--fork", "--kill-child", ...(options.net ? [] : ["--net"])];
  const ran = spawnSync("unshare", [...flags, "bash", "-c", script], {
    env: { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", NO_UPDATE_NOTIFIER: "1" },
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (ran.status !== 0) throw new Error(`failed (${ran.status ?? ran.signal}):\n${ran.stdout}`);
  return ran.stdout;
}

/** The command line that runs `command` in the stage as its user, with nothing of this environment. */
function chrooted(stage: Stage, command: string): string {
  const env = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/tmp",
    ...[...stage.env].map(([name, value]) => `${name}=${value}`),
  ];
  const quoted = env.map((each) => `'${each}'`).join(" ");
  return `chroot --userspec=${stage.user}:${stage.user} ${stage.dir} env -i ${quoted} sh -c 'cd ${stage.workdir} && ${command}'`;
}

function begin(text: string): Stage {
  const [, , name = "final"] = text.split(/\s+/);
  const dir = join(base, name);
  for (const each of [...SYSTEM, "dev", "proc", "tmp", "etc", "root", "var/lib"]) {
    mkdirSync(join(dir, each), { recursive: true });
  }
  for (const each of KNOWN.filter((known) => existsSync(`/etc/${known}`))) {
    cpSync(`/etc/${each}`, join(dir, "etc", each), { recursive: true, dereference: true });
  }
  writeFileSync(join(dir, "etc/passwd"), USERS);
  writeFileSync(join(dir, "etc/group"), GROUPS);
  const env = new Map<string, string>();
  return { name, dir, workdir: "/", user: "root", env, volumes: [], health: [], entry: [] };
}

function copy(stage: Stage, text: string, stages: readonly Stage[]): void {
  const words = text.split(/\s+/);
  const from = /^--from=(.*)$/.exec(words[0] ?? "")?.[1];
  const [to = "", ...sources] = words.slice(from === undefined ? 0 : 1).toReversed();
  const source = from === undefined ? context : stages.find(({ name }) => name === from)?.dir;
  if (source === undefined) throw new Error(`no stage ${from}`);
  for (const each of sources) {
    const target = join(stage.dir, stage.workdir, to, to.endsWith("/") ? basename(each) : "");
    mkdirSync(dirname(target), { recursive: true });
    cpSync(join(source, each), target, { recursive: true, verbatimSymlinks: true });
  }
}

function basename(path: string): string {
  return path.split("/").at(-1) ?? path;
}

function perform({ name, text }: Instruction, stage: Stage, stages: readonly Stage[]): void {
  switch (name) {
    case "WORKDIR":
      stage.workdir = text;
      mkdirSync(join(stage.dir, text), { recursive: true });
      return;
    case "COPY":
      return copy(stage, text, stages);
    case "RUN":
      say(inside(stage, { script: chrooted(stage, text), net: true }).trim());
      return;
    case "ENV": {
      const [, variable = "", value = ""] = /^(\w+)=(.*)$/.exec(text) ?? [];
      stage.env.set(variable, value);
      return;
    }
    case "USER":
      stage.user = text;
      return;
    case "VOLUME":
      stage.volumes.push(text);
      return;
    case "HEALTHCHECK":
      stage.health = JSON.parse(text.slice(text.indexOf("CMD ") + 4)) as string[];
      return;
    case "ENTRYPOINT":
      stage.entry = JSON.parse(text) as string[];
      return;
    case "FROM":
    case "LABEL":
    case "EXPOSE":
      return;
    default:
      throw new Error(`${name} is not understood`);
  }
}

const UPSTREAM = `let calls = 0;
require("http").createServer((req, res) => {
  if (req.method === "POST") calls += 1;
  res.end(String(calls));
}).listen(3000, "127.0.0.1")`;

/** Starts the image's entry point as its user, waits for its health check, and sends a charge twice. */
function started(stage: Stage): string {
  const shell = (words: readonly string[]): string =>
    words.map((word) => (/^[\w/.-]+$/.test(word) ? word : `"$CODE"`)).join(" ");
  const code = stage.health.at(-1) ?? "";
  stage.env.set("CODE", code.replaceAll("'", '"'));
  const volumes = stage.volumes.map(
    (each) => `mount --bind ${stage.dir}${each} ${stage.dir}${each}`,
  );
  const post = `curl -s -D - -X POST -H 'Idempotency-Key: one' -d 1 http://127.0.0.1:8080/v1/charges`;
  const script = [
    "mount -t proc proc /proc",
    "ip link set lo up",
    `node -e '${UPSTREAM}' &`,
    // The root cannot be written, the volume can.
    `mount --bind ${stage.dir} ${stage.dir}`,
    ...SYSTEM.map((name) => `mount --rbind /${name} ${stage.dir}/${name}`),
    `mount -t tmpfs tmpfs ${stage.dir}/tmp`,
    `mount --rbind /dev ${stage.dir}/dev`,
    ...volumes,
    `mount -o remount,bind,ro ${stage.dir}`,
    `${chrooted(stage, `exec ${shell(stage.entry)}`)} > ${base}/log &`,
    "GATEWAY=$!",
    `until ${chrooted(stage, shell(stage.health))}; do :; done`,
    "echo 'health check: exit 0'",
    `echo "user: $(stat -c %u /proc/$GATEWAY)"`,
    `${chrooted(stage, "touch /app/x || true")} 2>&1`,
    `for n in 1 2; do ${post} | grep -i ^idempotency-status; done`,
    "echo upstream calls: $(curl -s http://127.0.0.1:3000/)",
    "kill -TERM $GATEWAY",
    "wait $GATEWAY && echo 'stopped: exit 0'",
    `cd ${stage.dir}`,
    ...stage.volumes.map((each) => `stat -c '%A %u:%g %n' ${each.slice(1)} ${each.slice(1)}/*`),
  ].join("\n");
  return inside(stage, { script, net: false });
}

try {
  const admitted = readFileSync(join(ROOT, ".dockerignore"), "utf8").matchAll(/^!(.*)$/gm);
  for (const [, path = ""] of admitted) {
    cpSync(join(ROOT, path), join(context, path), { recursive: true });
  }
  const stages: Stage[] = [];
  for (const instructions of stagesOf(readFileSync(join(ROOT, "Dockerfile"), "utf8"))) {
    for (const instruction of instructions) {
      say(`# ${instruction.name} ${instruction.text}`);
      if (instruction.name === "FROM") stages.push(begin(instruction.text));
      const stage = stages.at(-1);
      if (stage === undefined) throw new Error("no stage");
      perform(instruction, stage, stages);
    }
  }
  const final = stages.at(-1);
  if (final === undefined) throw new Error("no stage");
  say(started(final).trim());
} finally {
  rmSync(base, { recursive: true, force: true });
}
