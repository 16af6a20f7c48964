/** Every run of the protocol keeps every property, and the model's store is the code's. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { decideComplete, decideRelease } from "../../src/core/record.ts";
import { OF_THE_CODE, recordModel } from "./decisions.ts";
import { SOUND } from "./models.ts";
import { judge } from "./rows.ts";
import { search } from "./spin.ts";

const RECORD_MODEL = readFileSync(join(import.meta.dirname, "record.pml"), "utf8");

t.test("the model's store decides what src/core/record.ts decides", async (t) => {
  t.equal(recordModel(OF_THE_CODE), RECORD_MODEL, "record.pml is what the code generates");
});

t.test("a decision of the code that changes changes the model", async (t) => {
  const anyToken = recordModel({
    ...OF_THE_CODE,
    decideComplete: (stored, _token, response, retentionMs, nowMs) =>
      decideComplete(stored, stored?.token ?? "", response, retentionMs, nowMs),
  });
  t.not(anyToken, RECORD_MODEL);
  const anyFence = recordModel({
    ...OF_THE_CODE,
    decideRelease: (stored, token, nowMs) =>
      decideRelease(stored && { ...stored, fence: 1 }, token, nowMs),
  });
  t.not(anyFence, RECORD_MODEL);
});

for (const model of SOUND) {
  t.test(`${model.name} (${model.claim}): keeps every property`, async (t) => {
    const found = await search(model);
    t.equal(judge(model, found), undefined, "spin finds what it has to find");
    t.comment(`${found.states} states, depth ${found.depth}, ${found.seconds} s`);
  });
}
