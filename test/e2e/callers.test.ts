/** Who a caller is, where its token says so: real tokens, a real key set over HTTP, and how often the upstream was called. */
import { createHmac, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exportSPKI, importJWK } from "jose";
import t, { type Test } from "tap";
import type { Answer } from "../support/client.ts";
import { tempDir } from "../support/gateway.ts";
import { AUDIENCE, ISSUER, newIssuerKey, sign, startIssuer } from "../support/issuer.ts";
import { checkRefusal } from "../support/problem.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import { BODY, newKey, startScene, TARGET, type Scene } from "../support/scene.ts";

const root = t;
const key1 = await newIssuerKey("one");

/** A scene whose callers are who their tokens say. */
function sceneFor(
  t: Test,
  jwt: Readonly<Record<string, unknown>>,
  policy: Readonly<Record<string, unknown>> = {},
): Promise<Scene> {
  const scope = { jwt: { issuer: ISSUER, audience: AUDIENCE, ...jwt } };
  return startScene(t, root, "memory", { defaults: { scope, ...policy } });
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const ask = (scene: Scene, key: string, token: string): Promise<Answer> =>
  scene.ask({ key, headers: bearer(token) });
const word = (answer: Answer): string | undefined => answer.header("Idempotency-Status");

/** 401 with a challenge, nothing sent and nothing claimed. */
async function isTurnedAway(t: Test, scene: Scene, answer: Answer, cause: string) {
  t.equal(answer.status, 401, cause);
  checkRefusal(t, answer, { code: "credentials-invalid", status: 401 });
  const challenge = cause === "no-token" ? "Bearer" : 'Bearer error="invalid_token"';
  t.equal(answer.header("WWW-Authenticate"), challenge);
  const lines = await scene.gateway.exchanges(1);
  t.match(lines.at(-1), { outcome: "credentials-invalid", status: 401, cause });
}

async function nothingClaimed(t: Test, scene: Scene) {
  const page = (await scene.admin("/v1/records")).json();
  t.same(page["records"], []);
  t.equal(scene.upstream.count(), 0);
}

t.test("a renewed token keeps its scope; another subject has another", async (t) => {
  const issuer = await startIssuer(t, [key1]);
  const scene = await sceneFor(t, { jwks: issuer.jwks });
  const key = newKey();
  const first = await ask(scene, key, await sign(key1));
  t.equal(word(first), "executed");
  const renewed = await ask(scene, key, await sign(key1, { exp: Math.floor(Date.now() / 1000) + 900 })); // prettier-ignore
  t.equal(word(renewed), "replayed");
  t.equal(renewed.body.toString(), first.body.toString());
  const other = await ask(scene, key, await sign(key1, { sub: "bob" }));
  t.equal(word(other), "executed");
  t.not(other.header("Idempotency-Record"), first.header("Idempotency-Record"));
  t.equal(scene.upstream.count(), 2);
  t.equal(issuer.server.count(), 1, "the keys are asked for once");
  const wanted = { key, headers: { Authorization: `Bearer ${await sign(key1, { exp: 1 })}` } };
  const found = await scene.admin("/v1/records/search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wanted),
  });
  const records = found.json()["records"] as readonly { readonly id: string }[];
  t.same(records.map(({ id }) => id), [first.header("Idempotency-Record")], "an operator finds it by any token of the caller"); // prettier-ignore
  const sent = scene.upstream.calls[0]?.all("Authorization") ?? [];
  t.match(sent, [/^Bearer ey/u], "the upstream gets the token as it came");
  const told = JSON.stringify(scene.gateway.log);
  t.notMatch(told, /eyJ|alice|bob/u, "the log knows neither token nor subject");
});

t.test(
  "a token that is missing, forged or not for us: 401, nothing is claimed or sent",
  async (t) => {
    const issuer = await startIssuer(t, [key1]);
    const scene = await sceneFor(t, { jwks: issuer.jwks, clockTolerance: "5s" });
    /** Asked when it is needed: the calls before may take longer than the tolerance. */
    const nowS = (): number => Math.floor(Date.now() / 1000);
    const stranger = await newIssuerKey("one");
    const good = await sign(key1);
    const [head = "", body = "", signature = ""] = good.split(".");
    const altered = Buffer.from(body, "base64url").toString().replace("alice", "admin");
    const part = (value: unknown): string =>
      Buffer.from(JSON.stringify(value)).toString("base64url");
    const publicPem = await exportSPKI((await importJWK(key1.published, "ES256")) as never);
    const hmac = (secret: string): string => {
      const signed = `${part({ alg: "HS256", kid: "one" })}.${body}`;
      return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
    };
    const refused: readonly (readonly [cause: string, token: string])[] = [
      ["token-expired", await sign(key1, { exp: nowS() - 6 })],
      ["claims-refused", await sign(key1, { nbf: nowS() + 60 })],
      ["claims-refused", await sign(key1, { iss: "https://other.example/" })],
      ["claims-refused", await sign(key1, { aud: "another-api" })],
      ["claims-refused", await sign(key1, { exp: undefined })],
      ["claims-refused", await sign(key1, { sub: undefined })],
      ["claim-not-plain", await sign(key1, { sub: ["alice"] })],
      ["claim-not-plain", await sign(key1, { sub: "" })],
      ["claim-not-plain", await sign(key1, { sub: 2 ** 60 })],
      ["ERR_JWS_SIGNATURE_VERIFICATION_FAILED", await sign(stranger)],
      ["ERR_JWS_SIGNATURE_VERIFICATION_FAILED", `${head}.${Buffer.from(altered).toString("base64url")}.${signature}`], // prettier-ignore
      ["no-such-key", await sign(await newIssuerKey("two"))],
      ["ERR_JOSE_ALG_NOT_ALLOWED", `${part({ alg: "none" })}.${body}.`],
      ["ERR_JOSE_ALG_NOT_ALLOWED", hmac(publicPem)],
      ["ERR_JOSE_ALG_NOT_ALLOWED", hmac(JSON.stringify(key1.published))],
      ["ERR_JWS_INVALID", "canary"],
      ["ERR_JWS_INVALID", randomBytes(64).toString("base64url")],
    ];
    for (const [cause, token] of refused) {
      await isTurnedAway(t, scene, await ask(scene, newKey(), token), cause);
    }
    for (const headers of [{}, { Authorization: "Basic Y2FuYXJ5" }, { Authorization: good }]) {
      await isTurnedAway(t, scene, await scene.ask({ key: newKey(), headers }), "no-token");
    }
    await nothingClaimed(t, scene);
    t.ok(issuer.server.count() <= 2, "a key that nobody has is looked for once");
    t.equal(word(await ask(scene, newKey(), await sign(key1, { exp: nowS() - 2 }))), "executed");
    t.equal(scene.upstream.count(), 1, "within the tolerance of the clocks");
    t.equal(
      (await scene.ask({ method: "GET", body: null })).status,
      201,
      "what is not guarded passes",
    );
    t.equal(scene.upstream.count(), 2);
  },
);

t.test(
  "the issuer changes its key: tokens of the new one are found out about, and keep their scope",
  async (t) => {
    const issuer = await startIssuer(t, [key1]);
    const scene = await sceneFor(t, { jwks: issuer.jwks });
    const key = newKey();
    t.equal(word(await ask(scene, key, await sign(key1))), "executed");
    const key2 = await newIssuerKey("two", "RS256");
    issuer.publish(key2);
    t.equal(word(await ask(scene, key, await sign(key2))), "replayed");
    t.equal(issuer.server.count(), 2);
    await isTurnedAway(t, scene, await ask(scene, key, await sign(key1)), "no-such-key");
    t.equal(scene.upstream.count(), 1);
  },
);

t.test(
  "the keys cannot be had: 503 and nothing is sent; once they were had, they do",
  async (t) => {
    const port = await freePort();
    const scene = await sceneFor(t, { jwks: `http://127.0.0.1:${port}/jwks.json` });
    const token = await sign(key1);
    const unchecked = (answer: Answer) =>
      checkRefusal(t, answer, { code: "access-unchecked", status: 503, retryAfterS: [1, 1] });
    unchecked(await ask(scene, newKey(), token));
    t.match((await scene.gateway.exchanges(1)).at(-1), { level: "warn", cause: "ECONNREFUSED" });
    await nothingClaimed(t, scene);

    const issuer = await startIssuer(t, [key1], port);
    issuer.server.answer({ status: 302, headers: ["Location", `${issuer.server.url}/elsewhere`] });
    await until(async () => {
      unchecked(await ask(scene, newKey(), token));
      return issuer.server.count() > 0;
    });
    t.ok(
      issuer.server.calls.every(({ url }) => url === "/jwks.json"),
      "no redirect is followed",
    );
    issuer.server.answer({ body: "canary, not a key set" });
    const asked = issuer.server.count();
    await until(async () => {
      unchecked(await ask(scene, newKey(), token));
      return issuer.server.count() > asked;
    });
    issuer.server.answer({ body: `{"keys":[],"pad":"${"x".repeat(300_000)}"}` });
    const before = issuer.server.count();
    await until(async () => {
      unchecked(await ask(scene, newKey(), token));
      return issuer.server.count() > before;
    });
    await nothingClaimed(t, scene);
    t.notMatch(JSON.stringify(scene.gateway.log), /canary/u);

    issuer.publish(key1);
    const key = newKey();
    await until(async () => word(await ask(scene, key, token)) !== "access-unchecked");
    t.equal(scene.upstream.count(), 1);
    await issuer.server.close();
    t.equal(word(await ask(scene, key, token)), "replayed", "known keys go on");
    unchecked(await ask(scene, key, await sign(await newIssuerKey("new"))));
    unchecked(await ask(scene, key, await sign(await newIssuerKey("newer"))));
    t.equal(scene.upstream.count(), 1);
  },
);

t.test(
  "keys from a file, without names: each is tried; every pinned algorithm is taken",
  async (t) => {
    const algorithms = ["ES384", "RS512", "PS256", "EdDSA"];
    const keys = await Promise.all(["ES256", "ES256", ...algorithms].map((alg) => newIssuerKey(undefined, alg))); // prettier-ignore
    const file = join(tempDir(t), "jwks.json");
    writeFileSync(file, JSON.stringify({ keys: keys.map(({ published }) => published) }));
    const scene = await sceneFor(t, { jwks: `file:${file}` });
    const key = newKey();
    for (const [at, each] of keys.entries()) {
      t.equal(word(await ask(scene, key, await sign(each))), at === 0 ? "executed" : "replayed");
    }
    const stranger = await sign(await newIssuerKey(undefined));
    await isTurnedAway(t, scene, await ask(scene, key, stranger), "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"); // prettier-ignore
    t.equal(scene.upstream.count(), 1);
  },
);

t.test("no two callers spell one scope with several claims, of whatever types", async (t) => {
  const issuer = await startIssuer(t, [key1]);
  const scene = await sceneFor(t, { jwks: issuer.jwks, claims: ["tenant", "sub"] });
  const key = newKey();
  const callers = [
    { tenant: "a", sub: "bc" },
    { tenant: "ab", sub: "c" },
    { tenant: 'a","b', sub: "c" },
    { tenant: "1", sub: "c" },
    { tenant: 1, sub: "c" },
    { tenant: "true", sub: "c" },
    { tenant: true, sub: "c" },
    { tenant: "\ud800", sub: "c" },
    { tenant: "\ud801", sub: "c" },
    { tenant: "c", sub: "ab" },
  ];
  for (const caller of callers) {
    t.equal(word(await ask(scene, key, await sign(key1, caller))), "executed", JSON.stringify(caller)); // prettier-ignore
  }
  for (const caller of callers) {
    t.equal(word(await ask(scene, key, await sign(key1, caller))), "replayed", JSON.stringify(caller)); // prettier-ignore
  }
  t.equal(scene.upstream.count(), callers.length);
});

t.test(
  "a key in the set that is none: 503 where it is asked for, and a shadow passes on",
  async (t) => {
    const issuer = await startIssuer(t, [key1]);
    const broken = { kty: "OKP", crv: "Ed25519", x: "AAAA", kid: "broken", alg: "EdDSA" };
    issuer.server.answer({ body: JSON.stringify({ keys: [broken] }) });
    const part = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = `${part({ alg: "EdDSA", kid: "broken" })}.${part({ iss: ISSUER })}.AAAA`;
    const jwt = { jwks: issuer.jwks, issuer: ISSUER, audience: AUDIENCE };
    const watched = { name: "watched", match: { path: "/watched" }, mode: "shadow" };
    const scene = await startScene(t, root, "memory", { defaults: { scope: { jwt } }, routes: [watched] }); // prettier-ignore
    const answer = await ask(scene, newKey(), token);
    checkRefusal(t, answer, { code: "access-unchecked", status: 503, retryAfterS: [1, 1] });
    t.match((await scene.gateway.exchanges(1)).at(-1), { cause: "key-unusable" });
    await nothingClaimed(t, scene);
    const passed = await scene.ask({ target: "/watched", key: newKey(), headers: bearer(token) });
    t.equal(passed.status, 201);
    t.match((await scene.gateway.exchanges(2)).at(-1), {
      wouldBe: "access-unchecked",
      cause: "key-unusable",
    });
    t.equal(scene.upstream.count(), 1);
  },
);

t.test(
  "a route may go by headers where the others go by tokens, and a shadow turns nobody away",
  async (t) => {
    const issuer = await startIssuer(t, [key1]);
    const jwt = { jwks: issuer.jwks, issuer: ISSUER, audience: AUDIENCE };
    const scene = await startScene(t, root, "memory", {
      defaults: { scope: { jwt } },
      routes: [
        { name: "open", match: { path: "/open" }, scope: { headers: ["X-Tenant"] } },
        { name: "watched", match: { path: "/watched" }, mode: "shadow" },
      ],
    });
    const key = newKey();
    for (const expected of ["executed", "replayed"]) {
      const headers = { "X-Tenant": "a" };
      t.equal(word(await scene.ask({ target: "/open", key, headers })), expected);
    }
    t.equal(scene.upstream.count(), 1);
    t.equal((await scene.ask({ target: "/watched", key, body: BODY })).status, 201);
    const line = (await scene.gateway.exchanges(3)).at(-1);
    t.match(line, { outcome: "shadow", wouldBe: "credentials-invalid", cause: "no-token" });
    t.equal(scene.upstream.count(), 2);
    t.equal((await scene.ask({ target: TARGET, key })).status, 401);
    const twice = await scene.ask({ key, headers: { Authorization: ["Bearer a", "Bearer b"] } });
    t.equal(twice.status, 400, "two tokens are no caller");
    t.equal(scene.upstream.count(), 2);
  },
);

t.test("a shadow waits for no issuer, and its time is the client's alone", async (t) => {
  const issuer = await startIssuer(t, [key1]);
  const gate = issuer.server.hold();
  const jwt = { jwks: issuer.jwks, issuer: ISSUER, audience: AUDIENCE };
  const scene = await startScene(t, root, "memory", {
    defaults: { scope: { jwt } },
    routes: [{ name: "watched", match: { path: "/watched" }, mode: "shadow" }],
  });
  const headers = bearer(await sign(key1));
  const guarded = scene.ask({ key: newKey(), headers });
  await issuer.server.arrived(1);
  const key = newKey();
  const startedMs = performance.now();
  for (let n = 1; n <= 10; n += 1) {
    const answer = await scene.ask({ target: "/watched", key, headers });
    t.same([answer.status, answer.body.toString(), word(answer)], [201, `execution ${n}`, "shadow"]); // prettier-ignore
    t.equal(scene.upstream.count(), n, "the guarded request alone waits for the issuer");
  }
  const takenMs = performance.now() - startedMs;
  const seen = scene.gateway.log.filter(({ msg }) => msg === "exchange");
  t.same(seen, [], "all are answered before the issuer has said a word");
  gate.release();
  t.equal(word(await guarded), "executed");
  const lines = (await scene.gateway.exchanges(11)).filter(({ route }) => route === "watched");
  const told = lines.map(({ wouldBe }) => wouldBe);
  t.equal(told.filter((wouldBe) => wouldBe === "executed").length, 1, "and then it is seen");
  const toldMs = lines.reduce((sum, { durationMs }) => sum + Number(durationMs), 0);
  t.ok(toldMs < 2 * takenMs, `told ${toldMs} ms of ${takenMs} ms`);
  t.equal(issuer.server.count(), 1);
  t.equal(scene.upstream.count(), 11);
});
