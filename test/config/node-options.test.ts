/** A parser made lenient is refused before anything starts. */
import t from "tap";
import { loadConfig } from "../../src/config/load.ts";

t.test("NODE_OPTIONS with --insecure-http-parser is bad configuration", async (t) => {
  const NODE_OPTIONS = "--max-old-space-size=100 --insecure-http-parser";
  t.same(loadConfig([], { NODE_OPTIONS }), {
    kind: "invalid",
    problems: [
      "NODE_OPTIONS: --insecure-http-parser opens the gateway to request smuggling; remove it",
    ],
  });
  const spelt = { NODE_OPTIONS: "--insecure_http_parser" };
  t.match(loadConfig([], spelt), { kind: "invalid" });
  t.match(loadConfig([], { NODE_OPTIONS: "--enable-source-maps" }), { kind: "run" });
});
