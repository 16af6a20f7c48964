import fc from "fast-check";
import t from "tap";
import type { Representation } from "../../src/core/conditional.ts";
import type { ResourcePolicy } from "../../src/core/policy.ts";
import type { HeaderPair, RecordedResponse } from "../../src/core/record.ts";
import { decodeMemory, encodeMemory } from "../../src/core/resource-memory.ts";
import {
  claimOwnership,
  judgeMemory,
  judgeRepresentation,
  needsRepresentation,
  remember,
  type ResourceMemory,
  type WriteEnd,
} from "../../src/core/resource.ts";
import { nameLocation, nameResource, type ResourceSource } from "../../src/core/resource-name.ts";
import { readJson } from "../../src/http/json.ts";

const POLICY: ResourcePolicy = {
  id: { from: "path" },
  serialize: "wait",
  precondition: "off",
  put: "upsert",
  once: false,
  afterDelete: undefined,
};
const REMEMBERS: ResourcePolicy = {
  ...POLICY,
  afterDelete: { rememberMs: 1000, put: 410, delete: "replay" },
};

const PRESENT: Representation = {
  kind: "present",
  etag: '"now"',
  computed: true,
  status: 200,
  headers: [],
  body: Buffer.from("there"),
};

const source = (more: Partial<ResourceSource> = {}): ResourceSource => ({
  method: "POST",
  path: "/objects/7",
  query: "",
  parameters: new Map(),
  json: undefined,
  ...more,
});

const idOf = (rule: ResourcePolicy["id"], more: Partial<ResourceSource> = {}): string => {
  const name = nameResource(rule, source(more));
  return name.kind === "named" ? name.id : `missing ${/by (\S+), which/.exec(name.detail)?.[1]}`;
};

function attempt(method: string, record = "r1", headers: HeaderPair[] = [], scope = "me") {
  const original = { method, target: "/objects/7", createdAt: "2026-01-01T00:00:00.000Z" };
  const writer = { record, keyed: true, original };
  return { method, headers, record, scope, content: "c1", writer };
}

const answered = (status: number, headers: HeaderPair[] = []): WriteEnd => ({
  kind: "answered",
  response: { status, headers, body: Buffer.from("deleted") } satisfies RecordedResponse,
});

const json = (text: string) => readJson(Buffer.from(text));

t.test("one resource by its own path, by a template, and by what a Location says", async (t) => {
  const byPath = idOf({ from: "path" });
  const template = { from: "template", template: "/objects/{id}" } as const;
  t.equal(idOf(template, { path: "/objects", json: json('{"id":"7"}') }), byPath);
  t.equal(idOf(template, { path: "/objects", json: json('{"id":7}') }), byPath);
  t.equal(idOf(template, { path: "/x", query: "a=1&id=7" }), byPath);
  t.equal(idOf(template, { path: "/x", parameters: new Map([["id", "7"]]) }), byPath);
  t.equal(idOf(template, { path: "/objects", json: json("{}") }), "missing id");
  t.equal(nameLocation("/objects/7", "/x/y", "api.example"), byPath);
  t.equal(nameLocation("https://api.example/objects/7?x#y", "/x", "api.example:8080"), byPath);
  t.equal(nameLocation("objects/7", "/x", "api.example"), byPath);
  t.equal(nameLocation("7", "/objects/", "api.example"), byPath);
  t.equal(nameLocation("https://elsewhere.example/objects/7", "/x", "api.example"), undefined);
  t.equal(nameLocation("mailto:objects/7", "/x", "api.example"), undefined);
  t.equal(nameLocation("http://[", "/x", "api.example"), undefined);
});

t.test(
  "a name is one however it is spelt, and a value stays one segment of its path",
  async (t) => {
    const template = { from: "template", template: "/objects/{id}" } as const;
    const inBody = (id: string) => idOf(template, { json: json(JSON.stringify({ id })) });
    t.equal(inBody("urn:x"), idOf({ from: "path" }, { path: "/objects/urn:x" }));
    t.equal(inBody("urn:x"), idOf({ from: "path" }, { path: "/objects/urn%3Ax" }));
    t.equal(inBody("(a)"), idOf({ from: "path" }, { path: "/objects/%28a%29" }));
    t.equal(inBody("a b"), idOf(template, { query: "id=a%20b" }));
    t.not(inBody("a/b"), idOf({ from: "path" }, { path: "/objects/a/b" }));
    const pathOf = (query: string) => nameResource(template, source({ query }));
    t.match(pathOf("id=a/../b?c"), { path: "/objects/a%2F..%2Fb%3Fc" });
    for (const id of ["..", "%2e%2E", ".", "%ff"])
      t.equal(idOf(template, { query: `id=${id}` }), "missing id");
    t.equal(inBody(".."), "missing id");
    const number = (text: string) => idOf(template, { json: json(`{"id":${text}}`) });
    t.equal(number("7.0"), number("7"));
    t.equal(number("70e-1"), inBody("7"));
    t.equal(idOf(template, { query: "i%64=a+b" }), inBody("a b"));
    const twice = (more: Partial<ResourceSource>) => nameResource(template, source(more)).kind;
    t.equal(twice({ query: "id=a&id=b" }), "unnamed", "two things, or one that hides the other");
    t.equal(twice({ query: "id=junk", json: json('{"id":"a"}') }), "unnamed");
    t.equal(twice({ query: "id=a", json: json('{"id":"a"}') }), "named");
    t.equal(nameResource({ from: "path" }, source({ query: "id=1" })).kind, "unnamed");
    t.equal(idOf(template, { json: json('{"id":"\\ud800"}') }), "missing id");
  },
);

t.test(
  "where the thing is: a template's path, the target of a PUT, and not that of a POST",
  async (t) => {
    const address = (rule: ResourcePolicy["id"], more: Partial<ResourceSource>) => {
      const name = nameResource(rule, source(more));
      return name.kind === "named" ? name.address : name;
    };
    t.equal(
      address({ from: "template", template: "/objects/{id}" }, { query: "id=7" }),
      "/objects/7",
    );
    t.equal(address({ from: "path" }, { method: "PUT" }), "/objects/7");
    t.equal(address({ from: "path" }, { method: "POST" }), undefined);
  },
);

t.test("by fields: the path and all of them together, by meaning", async (t) => {
  const rule = { from: "body", pointers: ["/date", "/time"] } as const;
  const slot = (text: string, path = "/reservations") => idOf(rule, { path, json: json(text) });
  const one = slot('{"date":"d","time":10}');
  t.equal(slot('{ "time": 1.0e1, "who": "me", "date": "d" }'), one);
  t.not(slot('{"date":"d","time":11}'), one);
  t.not(slot('{"date":"d","time":10}', "/tables"), one);
  t.equal(slot('{"date":"d"}'), "missing /time");
  t.equal(idOf(rule), "missing /date");
});

t.test(
  "what is deleted: a repeated DELETE gets the first answer, a PUT the configured status, for as long as remembered",
  async (t) => {
    const memory = remember({}, attempt("DELETE"), answered(202), REMEMBERS, 5000);
    t.match(judgeMemory(memory, attempt("DELETE", "r2"), REMEMBERS, 5999), {
      kind: "deleted-before",
      response: { status: 202 },
    });
    t.same(judgeMemory(memory, attempt("PUT", "r2"), REMEMBERS, 5999), {
      kind: "gone",
      status: 410,
    });
    t.equal(judgeMemory(memory, attempt("PUT", "r2"), REMEMBERS, 6000), undefined);
    t.equal(judgeMemory(memory, attempt("POST", "r2"), REMEMBERS, 5999), undefined);
    const creates = { ...REMEMBERS, put: "create-only" } as const;
    t.equal(judgeMemory(memory, attempt("PUT", "r2"), creates, 5999), undefined);
    const again = remember(memory, attempt("POST", "r2"), answered(201), REMEMBERS, 5500);
    t.equal(again.tombstone, undefined, "a successful POST ends the tombstone");
    const failed = remember({}, attempt("DELETE"), answered(404), REMEMBERS, 5000);
    t.same(failed, {}, "a DELETE that failed leaves none");
  },
);

t.test(
  "a repeated DELETE of another caller gets the status alone, and nobody gets the cookie",
  async (t) => {
    const end = answered(200, [
      ["Set-Cookie", "session=1"],
      ["X-Left", "3"],
    ]);
    const memory = remember({}, attempt("DELETE"), end, REMEMBERS, 5000);
    const told = (scope: string) =>
      judgeMemory(memory, attempt("DELETE", "r2", [], scope), REMEMBERS, 5001);
    t.same(told("me"), {
      kind: "deleted-before",
      response: { status: 200, headers: [["X-Left", "3"]], body: Buffer.from("deleted") },
    });
    t.same(told("somebody else"), {
      kind: "deleted-before",
      response: { status: 200, headers: [], body: undefined },
    });
  },
);

t.test(
  "once: the first write that succeeds owns, one that fails does not, an unknown one might",
  async (t) => {
    const once = { ...POLICY, once: true };
    const reserved = claimOwnership({}, attempt("POST").writer);
    t.match(judgeMemory(reserved, attempt("POST", "r2"), once, 0), {
      kind: "owned",
      settled: false,
    });
    t.equal(judgeMemory(reserved, attempt("POST", "r1"), once, 0), undefined, "its own retry");
    const owned = remember(
      reserved,
      attempt("POST"),
      answered(201, [["Location", "/r/1"]]),
      once,
      0,
    );
    t.match(judgeMemory(owned, attempt("POST", "r2"), once, 0), {
      kind: "owned",
      settled: true,
      owner: { original: { status: 201, location: "/r/1" } },
    });
    t.equal(judgeMemory(owned, attempt("DELETE", "r2"), once, 0), undefined);
    t.same(remember(reserved, attempt("POST"), answered(409), once, 0), {});
    t.same(remember(reserved, attempt("POST"), { kind: "not-sent" }, once, 0), {});
    t.equal(remember(reserved, attempt("POST"), { kind: "unknown" }, once, 0), reserved);
    const deleted = remember(owned, attempt("DELETE", "r3"), answered(204), once, 0);
    t.equal(judgeMemory(deleted, attempt("POST", "r4"), once, 0), undefined, "free again");
    const put = remember({}, attempt("PUT"), answered(200), POLICY, 0);
    t.match(judgeMemory(put, attempt("POST", "r2"), once, 0), { kind: "owned" }, "PUT before POST");
    t.match(
      judgeMemory(owned, attempt("POST"), once, 0),
      { settled: true },
      "its record forgotten",
    );
    const replaced = remember(owned, attempt("PUT", "r5"), answered(200), POLICY, 0);
    t.match(replaced, { writer: { record: "r5" }, owner: { record: "r1" } }, "PUT replaces");
    const settling = remember(reserved, attempt("PUT", "r5"), answered(200), POLICY, 0);
    t.match(judgeMemory(settling, attempt("POST"), once, 0), { owner: { record: "r5" } });
    const addressed = { ...attempt("PUT"), address: "/objects/7" };
    const location = (memory: ResourceMemory) => memory.writer?.original.location;
    t.equal(location(remember({}, addressed, answered(201), POLICY, 0)), "/objects/7");
    const told = answered(201, [["Location", "/o/7"]]);
    t.equal(location(remember({}, addressed, told, POLICY, 0)), "/o/7");
  },
);

t.test(
  "PUT: update-only needs the thing, create-only its absence or the same content",
  async (t) => {
    const judge = (
      current: Representation,
      put: ResourcePolicy["put"],
      same: boolean,
      headers: HeaderPair[] = [],
    ) =>
      judgeRepresentation(
        current,
        {},
        attempt("PUT", "r1", headers),
        { ...POLICY, put },
        () => same,
      ).kind;
    t.equal(judge({ kind: "absent" }, "update-only", false), "missing");
    t.equal(judge(PRESENT, "update-only", false), "go");
    t.equal(judge({ kind: "absent" }, "create-only", false), "go");
    t.equal(judge(PRESENT, "create-only", false), "exists");
    t.equal(judge(PRESENT, "create-only", true), "already-there");
    t.equal(judge(PRESENT, "create-only", true, [["If-None-Match", "*"]]), "precondition-failed");
  },
);

t.test("preconditions: required where the route says so, judged on the current tag", async (t) => {
  const required = { ...POLICY, precondition: "required" } as const;
  t.same(judgeMemory({}, attempt("PUT"), required, 0), { kind: "precondition-required" });
  const conditional = attempt("PUT", "r1", [["If-Match", '"old"']]);
  t.equal(judgeMemory({}, conditional, required, 0), undefined);
  t.equal(needsRepresentation(required, conditional), true);
  t.equal(needsRepresentation(POLICY, conditional), false);
  t.same(
    judgeRepresentation(PRESENT, {}, conditional, required, () => false),
    {
      kind: "precondition-failed",
      etag: '"now"',
    },
  );
});

t.test("a memory survives its bytes; other bytes are refused", async (t) => {
  const writer = {
    record: "r1",
    keyed: true,
    original: { method: "PUT", target: "/x", createdAt: "t", status: 200 },
  };
  const memory: ResourceMemory = {
    writer,
    owner: { ...writer, settled: false },
    tombstone: {
      deletedAtMs: 1,
      untilMs: 2,
      response: { status: 204, headers: [["A", "é"]], body: Buffer.from([0, 255]) },
      scope: "me",
    },
    content: "c",
    frees: { resource: "r", owner: "o" },
  };
  t.same(decodeMemory(encodeMemory(memory)), memory);
  t.same(decodeMemory(undefined), {});
  for (const text of [
    "",
    "[",
    "null",
    "7",
    '{"writer":{}}',
    '{"tombstone":{"deletedAtMs":1}}',
    '{"content":7}',
  ]) {
    t.throws(() => decodeMemory(Buffer.from(text)), { code: "RECORD_CORRUPT" }, text);
  }
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      try {
        decodeMemory(bytes);
      } catch (error) {
        t.match(error, { code: "RECORD_CORRUPT" });
      }
    }),
  );
});
