/** An upstream behind TLS: its answers, what it says unasked, and what a new connection costs. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import t from "tap";
import type { Test } from "tap";
import { answerOf, sendTo, streamOf, word } from "../support/sending.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

interface TlsUpstream {
  readonly url: string;
  /** Of each connection, whether it went on with the session of an earlier one. */
  readonly resumed: boolean[];
}

/** Answers each request with the next of these bytes, and closes behind those that say so. */
async function startTls(t: Test, answers: readonly string[]): Promise<TlsUpstream> {
  const dir = t.testdir({});
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", "tls.key", "-out", "tls.pem"];
  execFileSync("openssl", ["req", "-x509", ...key, ...files, ...names], { cwd: dir, stdio: "ignore" }); // prettier-ignore
  // The gateway trusts what the system trusts; this authority is none of it.
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  t.teardown(() => delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]);
  const resumed: boolean[] = [];
  let next = 0;
  const server = tls.createServer(
    { key: readFileSync(join(dir, "tls.key")), cert: readFileSync(join(dir, "tls.pem")) },
    (socket) => {
      resumed.push(socket.isSessionReused());
      socket.on("error", () => undefined);
      socket.on("data", () => {
        const answer = answers[next] ?? OK;
        next += 1;
        if (/connection: close/i.test(answer)) socket.end(answer);
        else socket.write(answer);
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, resumed };
}

t.test("a new connection goes on with the TLS session of an earlier one", async (t) => {
  const closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
  const upstream = await startTls(
    t,
    Array.from({ length: 6 }, () => closing),
  );
  const { send } = sendTo(t, upstream.url);
  for (let n = 0; n < 6; n += 1) t.equal(answerOf(await send()).body.toString(), "ok");
  t.equal(upstream.resumed.length, 6);
  // Sessions are held weakly, so that not every one of them needs to be there.
  t.ok(upstream.resumed.includes(true));
});

t.test("answers are read as strictly as without TLS", async (t) => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
  const upstream = await startTls(t, [
    `${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`,
    `${chunked}0\r\n\r\n`,
    `${chunked}zz\r\n`,
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
  ]);
  const { send } = sendTo(t, upstream.url);
  t.equal(answerOf(await send()).body.toString(), "ok");
  t.equal(answerOf(await send()).body.toString(), "ok", "not what stood behind the first");
  t.equal(word(await send()), "unknown reset");
  const chunks: Buffer[] = [];
  for await (const chunk of streamOf(await send()).stream) chunks.push(Buffer.from(chunk));
  t.equal(Buffer.concat(chunks).toString(), "ok", "told as it comes, and not kept");
});
