/** Leaves to the end what keeps the process alive until then. */
import { createServer } from "node:net";
import t from "tap";

const server = createServer().listen(0, "127.0.0.1");
t.teardown(() => {
  server.close();
  t.comment("done at the end");
});
