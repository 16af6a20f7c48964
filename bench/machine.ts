/** What the figures were taken on, in one line, and whether everything that is needed is there. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { ROOT } from "./processes.ts";

/** What is missing, and how Debian calls it. */
export function missing(): readonly string[] {
  const lacks = (program: string): boolean => spawnSync("which", [program]).status !== 0;
  const files = {
    "libnginx-mod-http-lua": "/usr/lib/nginx/modules/ngx_http_lua_module.so",
    "lua-nginx-redis": "/usr/share/lua/5.1/nginx/redis.lua",
  };
  return [
    ...["wrk", "nginx", "redis-server"].filter(lacks),
    ...Object.entries(files)
      .filter(([, file]) => !existsSync(file))
      .map(([name]) => name),
  ];
}

export function machine(): string {
  const all = cpus();
  const model = all[0]?.model.trim() ?? "unknown CPU";
  const nginx = spawnSync("nginx", ["-v"], { encoding: "utf8" }).stderr;
  const version = /nginx\/(\S+)/u.exec(nginx)?.[1];
  const redis = /v=(\S+)/u.exec(
    execFileSync("redis-server", ["--version"], { encoding: "utf8" }),
  )?.[1];
  const programs = `Node ${process.versions.node}, nginx ${version}, Redis ${redis}`;
  return `${model}, ${all.length} CPUs, ${programs}`;
}

export function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).trim();
  const dirty = git("status", "--porcelain", "--", "src", "bench", "package-lock.json") !== "";
  return `${git("rev-parse", "--short=10", "HEAD")}${dirty ? " and changes" : ""}`;
}
