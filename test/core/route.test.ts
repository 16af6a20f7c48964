/** Which route a request meets. */
import t from "tap";
import type { Policy } from "../../src/core/policy.ts";
import { isSafe, routeFinder, unknownPolicy } from "../../src/core/route.ts";
import { newPolicy } from "../support/policy.ts";

const defaults = newPolicy({ route: "default" });

function finder(...routes: (readonly [name: string, methods: string, path: string])[]) {
  return routeFinder(
    routes.map(([route, methods, path]) => ({
      methods: methods.split(" ").filter((method) => method !== ""),
      path,
      policy: newPolicy({ route }),
    })),
    defaults,
  );
}

t.test("the first route that matches decides", async (t) => {
  const find = finder(["one", "POST", "/a/b"], ["any", "POST", "/a/:x"], ["late", "POST", "/a/c"]);
  t.equal(find("POST", "/a/b")?.policy.route, "one");
  t.equal(find("POST", "/a/c")?.policy.route, "any");
  t.equal(find("PUT", "/a/b")?.policy.route, "default");
});

t.test("parameters take exactly one segment, and never an empty one", async (t) => {
  const find = finder(["pair", "PUT", "/d/:uuid/x/:n"]);
  const match = find("PUT", "/d/7%20b/x/:n");
  t.equal(match?.policy.route, "pair");
  t.same([...(match?.parameters ?? [])], [["uuid", "7%20b"], ["n", ":n"]]); // prettier-ignore
  for (const path of ["/d//x/1", "/d/1/x/", "/d/1/x", "/d/1/x/2/", "/d/1/y/2", "/d/1/2/x/3"]) {
    t.equal(find("PUT", path)?.policy.route, "default", path);
  }
});

t.test("* at the end takes the rest, and there must be one", async (t) => {
  const find = finder(["files", "POST", "/files/*"], ["all", "DELETE", "/*"]);
  for (const path of ["/files/", "/files/a", "/files/a/b/c"]) {
    t.equal(find("POST", path)?.policy.route, "files", path);
  }
  for (const path of ["/files", "/filesx/a", "/x/files/a"]) {
    t.equal(find("POST", path)?.policy.route, "default", path);
  }
  t.equal(find("DELETE", "/")?.policy.route, "all");
});

t.test("literals are compared as they stand: no pattern, no case, no slash forgiven", async (t) => {
  const find = finder(["dot", "POST", "/v1.0/(a|b)"], ["root", "POST", "/"]);
  t.equal(find("POST", "/v1.0/(a|b)")?.policy.route, "dot");
  for (const path of ["/v1x0/(a|b)", "/v1.0/a", "/V1.0/(a|b)", "/v1.0/(a|b)/", "//v1.0/(a|b)"]) {
    t.equal(find("POST", path)?.policy.route, "default", path);
  }
  t.equal(find("POST", "/")?.policy.route, "root");
});

t.test("a safe method is guarded only where a route lists it", async (t) => {
  const find = finder(["listed", "GET", "/report"], ["open", "", "/open"]);
  t.equal(find("GET", "/report")?.policy.route, "listed");
  t.equal(find("POST", "/open")?.policy.route, "open");
  for (const method of ["GET", "HEAD", "OPTIONS", "TRACE"]) {
    t.ok(isSafe(method));
    t.equal(find(method, "/open"), undefined, method);
    t.equal(find(method, "/else"), undefined, method);
  }
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "get"]) {
    t.equal(find(method, "/else")?.policy.route, "default", method);
  }
});

function word(method: string, onUnknown: Policy["onUnknown"]): string {
  return unknownPolicy(newPolicy({ onUnknown }), method);
}

t.test(
  "after an unknown outcome only idempotent methods are sent again, unless the route says",
  async (t) => {
    for (const method of ["PUT", "DELETE", "GET"]) t.equal(word(method, "by-method"), "resend");
    for (const method of ["POST", "PATCH", "MKCOL", "put"])
      t.equal(word(method, "by-method"), "block");
    t.equal(word("PUT", "block"), "block");
    t.equal(word("POST", "resend"), "resend");
  },
);
