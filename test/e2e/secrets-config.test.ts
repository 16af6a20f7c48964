/**
 * Configurations that hold secrets, most of them with a mistake beside: what the built gateway says of them names the
 * place and never the secret. The upstream is never called, because nothing starts, or nothing comes in.
 */
import { writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import root, { type Test } from "tap";
import { loadConfig } from "../../src/config/load.ts";
import { newCanary } from "../support/canary.ts";
import { spawnGateway } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";

interface Bad {
  readonly name: string;
  /** Text of the file; `$` stands for the secret. */
  readonly file?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where the mistake is, as the gateway must say. */
  readonly says: RegExp;
}

const BAD: readonly Bad[] = [
  { name: "no host", file: 'store: { url: "redis://app:$@" }', says: /store\.url/ },
  { name: "no port number", file: 'store: { url: "redis://app:$@h:port/0" }', says: /store\.url/ },
  {
    name: "a port out of range",
    file: 'store: { url: "redis://app:$@h:99999" }',
    says: /store\.url/,
  },
  {
    name: "a password that was not escaped",
    file: 'store: { url: "redis://app:a/$#?@h:1" }',
    says: /store\.url/,
  },
  {
    name: "an at sign in the password",
    file: 'store: { url: "redis://app:a@$@h:1:2" }',
    says: /store\.url/,
  },
  { name: "an unknown scheme", file: 'store: { url: "mysql://app:$@h/x" }', says: /store\.url/ },
  { name: "a scheme misspelt", file: 'store: { url: "reddis://app:$@h/0" }', says: /store\.url/ },
  {
    name: "an upstream with a password",
    file: 'upstream: { url: "http://u:$@h" }',
    says: /upstream\.url/,
  },
  {
    name: "an upstream with a query",
    file: 'upstream: { url: "http://h/?key=$" }',
    says: /upstream\.url/,
  },
  { name: "an upstream that is no URL", file: 'upstream: { url: "$" }', says: /upstream\.url/ },
  { name: "a token with a space", file: 'admin: { token: "$ $" }', says: /admin\.token/ },
  { name: "a token that is a list", file: 'admin: { token: ["$"] }', says: /admin\.token/ },
  { name: "a token that is a map", file: 'admin: { token: { value: "$" } }', says: /admin\.token/ },
  { name: "a token under a misspelt name", file: 'admin: { tokne: "$" }', says: /admin\.tokne/ },
  { name: "a password of its own", file: 'store: { password: "$" }', says: /store\.password/ },
  { name: "a section that is a URL", file: 'store: "redis://app:$@h:1"', says: /store/ },
  { name: "a URL that is a map", file: 'store: { url: { password: "$" } }', says: /store\.url/ },
  { name: "docs with a password", file: 'defaults: { docsUrl: "ftp://u:$@h" }', says: /docsUrl/ },
  {
    name: "a webhook with a password",
    file: 'notify: { webhook: { url: "https://u:$@h/", secrets: [{ env: A }] } }',
    says: /notify\.webhook\.url/,
  },
  {
    name: "a webhook's secret that is none",
    file: "notify: { webhook: { url: 'https://h/', secrets: [{ env: SIGNING }] } }",
    env: { SIGNING: "whsec_$-!" },
    says: /notify\.webhook\.secrets\[0\]\.env/,
  },
  {
    name: "a key given twice",
    file: 'admin:\n  token: "$"\n  token: "$"\n',
    says: /gateway\.yaml/,
  },
  { name: "a quote that is not closed", file: 'admin:\n  token: "$\n', says: /gateway\.yaml/ },
  {
    name: "a brace that is not closed",
    file: 'store: { url: "redis://app:$@h:1"\nadmin: {',
    says: /gateway\.yaml/,
  },
  { name: "a tab", file: 'admin:\n\ttoken: "$"\n', says: /gateway\.yaml/ },
  { name: "an anchor that is none", file: "admin: { token: *$ }", says: /gateway\.yaml/ },
  { name: "a tag", file: "admin: { token: !secret $ }", says: /gateway\.yaml/ },
  { name: "no YAML at all", file: "{{$: $", says: /gateway\.yaml/ },
  {
    name: "a wrong store in the environment",
    env: { STORE: "redis://app:$@h:port" },
    says: /STORE/,
  },
  { name: "a wrong token in the environment", env: { ADMIN_TOKEN: "$ $" }, says: /ADMIN_TOKEN/ },
  {
    name: "a wrong upstream in the environment",
    env: { UPSTREAM: "http://u:$@h" },
    says: /UPSTREAM/,
  },
  { name: "an unknown variable", env: { REDIS_PASSWORD: "$" }, says: /REDIS_PASSWORD/ },
  { name: "a wrong store as a flag", args: ["--store", "redis://app:$@h:port"], says: /--store/ },
  { name: "the same with =", args: ["--store=redis://app:$@h:port"], says: /--store/ },
  { name: "a misspelt flag", args: ["--stor", "redis://app:$@h:1"], says: /--stor/ },
  { name: "a misspelt flag with =", args: ["--stor=redis://app:$@h:1"], says: /--stor/ },
  { name: "a token as a flag", args: ["--admin-token", "$"], says: /admin-token/ },
  { name: "a token as a flag with =", args: ["--admin-token=$"], says: /admin-token/ },
  { name: "a value without its flag", args: ["redis://app:$@h:1"], says: /./ },
  { name: "a value for a flag that takes none", args: ["--check=$"], says: /--check/ },
  { name: "a listener that is a URL", args: ["--listen", "http://u:$@h:1"], says: /--listen/ },
];

/** What only the store itself judges so far: the start fails. */
const LATE: readonly Bad[] = [
  {
    name: "an unknown parameter",
    file: 'store: { url: "redis://h:1/0?password=$" }',
    says: /Redis URL|store\.url/,
  },
  {
    name: "a database that is none",
    file: 'store: { url: "redis://app:$@h:1/$" }',
    says: /Redis URL|store\.url/,
  },
  {
    name: "a Sentinel without name",
    file: 'store: { url: "redis+sentinel://app:$@h:1" }',
    says: /Redis URL|store\.url/,
  },
];

type Given = Omit<Bad, "name" | "says">;
type Fill = (text: string) => string;

function given(t: Test, the: Given, fill: Fill) {
  const file = join(tempDir(t), "gateway.yaml");
  writeFileSync(file, fill(the.file ?? "{}"));
  const env = Object.entries(the.env ?? {}).map(([name, value]): [string, string] => [
    `IDEMPOTENCY_GATEWAY_${name}`,
    fill(value),
  ]);
  return { args: ["--config", file, ...(the.args ?? []).map(fill)], env: Object.fromEntries(env) };
}

async function outputOf(t: Test, the: Given, fill: Fill) {
  const { args, env } = given(t, the, fill);
  const gateway = spawnGateway(t, args, env);
  const code = await gateway.ended;
  return { code, output: gateway.output.join("\n") };
}

function secretive() {
  const canary = newCanary();
  return { canary, fill: (text: string): string => text.replaceAll("$", canary.at("")) };
}

root.test("bad configurations are told by place, not by a secret that stands there", async (t) => {
  const { canary, fill } = secretive();
  for (const { name, says, ...the } of BAD) {
    // The lines that `main` prints before it ends with 2.
    const { args, env } = given(t, the, fill);
    const loaded = loadConfig(args, env);
    const told = loaded.kind === "invalid" ? loaded.problems.join("\n") : loaded.kind;
    t.match(told, says, name);
    canary.keep(name, told);
  }
  const some = BAD.filter((_, at) => at % 12 === 0);
  for (const { name, says, ...the } of [...some, ...LATE]) {
    const { code, output } = await outputOf(t, the, fill);
    t.ok(code === 2 || code === 1, `${name}: ${code}`);
    t.match(output, says, name);
    canary.keep(name, output);
  }
  t.strictSame(canary.leaks(), []);
});

const SECRETS: Given = { env: { STORE: "redis://app:$@127.0.0.1:1/0", ADMIN_TOKEN: "$" } };

root.test("a good configuration is checked and printed without its secrets", async (t) => {
  const { canary, fill } = secretive();
  const sentinel = { env: { STORE: "rediss+sentinel://app:$@a:1,b:2/records?sentinelPassword=$" } };
  const escaped = { env: { STORE: "redis://app:%41$%2F@127.0.0.1:1/0", ADMIN_TOKEN: "$" } };
  for (const the of [SECRETS, sentinel, escaped]) {
    for (const flag of ["--check", "--print-config"]) {
      const { args, env } = given(t, { ...the, args: [flag] }, fill);
      const loaded = loadConfig(args, env);
      canary.keep(flag, "text" in loaded ? loaded.text : JSON.stringify(loaded.kind));
    }
  }
  const { code, output } = await outputOf(t, { ...SECRETS, args: ["--print-config"] }, fill);
  t.equal(code, 0);
  t.match(output, /token: "\*+"/, "shown as hidden");
  canary.keep("printed", output);
  t.strictSame(canary.leaks(), []);
});

root.test("a start that fails is told without secrets, and nothing was sent", async (t) => {
  const { canary, fill } = secretive();
  const upstream = await startUpstream(t);
  const taken = createServer();
  await new Promise<void>((resolve) => void taken.listen(0, "127.0.0.1", resolve));
  t.teardown(() => new Promise((closed) => taken.close(closed)));
  const { port } = taken.address() as AddressInfo;
  const at = (listen: number, admin: number): readonly string[] => [
    ...["--listen", `127.0.0.1:${listen}`, "--admin", `127.0.0.1:${admin}`],
    ...["--upstream", upstream.url],
  ];
  const missing = "rediss://app:$@localhost:1/0?ca=/nowhere/ca.pem";
  const nowhere = 'store: { url: "file:/dev/null/x" }\nadmin: { token: "$" }';
  const failing: readonly (readonly [string, Given])[] = [
    ["port taken", { ...SECRETS, args: at(port, 0) }],
    ["port taken, workers", { ...SECRETS, args: [...at(port, 0), "--workers", "2"] }],
    ["admin port taken", { ...SECRETS, args: at(0, port) }],
    ["the authority's file missing", { env: { STORE: missing }, args: at(0, 0) }],
    ["a store that cannot be", { file: nowhere, args: at(0, 0) }],
  ];
  for (const [name, the] of failing) {
    const { code, output } = await outputOf(t, the, fill);
    // A file that the URL names is part of the configuration; a port or a directory that is not to be had is not.
    t.equal(code, the.env?.["STORE"] === missing ? 2 : 1, name);
    t.match(output, /in use|cannot be/, name);
    canary.keep(name, output);
  }
  t.strictSame(canary.leaks(), []);
  t.equal(upstream.count(), 0);
});
