/** The flame graph: widths are shares of the time at work, frames of the gateway are told by their sources. */
import t from "tap";
import { flameOf } from "../../bench/flame.ts";

const frame = (functionName: string, url = "") => ({
  functionName,
  url,
  lineNumber: 0,
  columnNumber: 0,
});

t.test("time is width, waiting is none, and nothing in a name is markup", async (t) => {
  const src = new URL("../../src/flow/exchange.ts", import.meta.url).href;
  const svg = flameOf({
    nodes: [
      { id: 1, callFrame: frame("(root)"), children: [2, 3] },
      { id: 2, callFrame: frame("(idle)") },
      { id: 3, callFrame: frame("exchange", src), children: [4] },
      { id: 4, callFrame: frame("<b>", "node:net") },
    ],
    samples: [2, 3, 4, 4],
    timeDeltas: [1000, 100, 200, 100],
  });
  t.match(svg, "exchange src/flow/exchange.ts 100.0 %");
  t.match(svg, "&#60;b&#62; node:net 75.0 %");
  t.match(svg, 'width="900.0"');
  t.notMatch(svg, /<b>|idle/);
});
