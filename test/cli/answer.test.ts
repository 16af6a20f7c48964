/** Answers in files, as `curl -i` prints them: what is taken of one, and what is refused because it is not the answer's bytes. */
import t from "tap";
import { documentOf, readAnswer } from "../../src/cli/answer.ts";
import { PRINTED } from "./printed.ts";

t.test("an answer is read as it was printed, without what was its connection's", async (t) => {
  const read = (text: string) => readAnswer(Buffer.from(text, "latin1"));
  const headers = [
    ["content-type", "application/json"],
    ["Set-Cookie", "a=1"],
    ["set-cookie", "b=é"],
  ];
  t.match(read(PRINTED), { status: 201, headers, body: Buffer.from('{"id":"ch_canary"}') });
  t.match(read("HTTP/2 204 \r\nx-one: 1\r\n\r\n"), { status: 204, headers: [["x-one", "1"]] });
  t.match(read("HTTP/1.1 200\nContent-Length: 3\n\n\na\n"), { headers: [], body: Buffer.from("\na\n") }); // prettier-ignore
  const bytes = Buffer.from([0, 0xff, 0x0d, 0x0a]);
  const binary = { status: 200, headers: [], body: bytes };
  t.match(readAnswer(Buffer.concat([Buffer.from("HTTP/3 200 \r\n\r\n"), bytes])), binary);
  t.same(documentOf(binary), { status: 200, headers: [], bodyBase64: "AP8NCg==" });
  t.match(documentOf({ ...binary, body: Buffer.from('{"a":1}') }), { body: '{"a":1}' });
  t.match(documentOf({ ...binary, body: Buffer.alloc(99) }), { bodyBase64: /^A+$/u }, "shorter");
  for (const [text, fault] of [
    ["", /no empty line/u],
    ["HTTP/1.1 200 OK\r\nX: 1\r\n", /no empty line/u],
    ['{"id":1}\n\n', /line 1 is no status line/u],
    ["HTTP/1.1 100 Continue\n\n\n\n", /line 3 is no status line/u],
    ["HTTP/1.1 200 OK\nX: 1\nX Y: 1\n\n", /line 3 is no header field/u],
    ["HTTP/1.1 200 OK\nX: 1\n folded\n\n", /line 3 is no header field/u],
    ["HTTP/1.1 200 OK\nX: a\rb\n\n", /line 2 is no header field/u],
    ["HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\na", /do not say/u],
    ["HTTP/1.1 200 OK\nContent-Length: 2\n\na", /2 bytes follow, and 1 do/u],
    ["HTTP/1.1 204 No Content\n\na", /0 bytes follow, and 1 do/u],
    ["HTTP/1.1 200 Connection established\r\n\r\nHTTP/2 201 \r\n\r\n", /another answer/u],
    ["HTTP/1.1 302 Found\nContent-Length: 0\n\nHTTP/1.1 200 OK\n\n", /another answer/u],
  ] as const) {
    const said = read(text);
    t.match(said, fault, text);
  }
});

t.test(
  "a body that is not the one that clients would get is refused, with what to do",
  async (t) => {
    const read = (...parts: readonly string[]) => readAnswer(Buffer.from(parts.join(""), "latin1"));
    const ok = "HTTP/1.1 200 OK\r\n";
    const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;
    const plain = `${ok}\r\n`;
    const encoded = /without --compressed and without Accept-Encoding.* records API/u;
    const raw = /without --raw; .* Content-Length: \d+ and no Transfer-Encoding$/u;
    const second = /another answer stands behind the first.* Content-Length: \d+ and no/u;
    for (const [parts, fault] of [
      [[ok, "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n{}"], encoded],
      [["HTTP/2 201 \r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{}"], encoded],
      [[ok, "Content-Encoding: identity\r\nContent-Encoding: identity, gzip\r\n\r\n{}"], encoded],
      [[chunked, '8\r\n{"id":1}\r\n0\r\n\r\n'], raw],
      [[chunked, "0\r\n\r\n"], raw],
      [[chunked, '8;name=value\r\n{"id'], raw],
      [[chunked, '8\n{"id":1}\n0\n\n'], raw],
      [[chunked, '{"id":1}', chunked, '{"id":2}'], second],
      [[plain, '{"id":1}\n', plain, '{"id":2}'], second],
      [[plain, '{"id":1}', "HTTP/2 201 \r\nx-one: 1\r\n\r\n"], second],
      [[ok, "Content-Length: 2\r\n\r\n{}", chunked], /another answer stands behind the first/u],
    ] as const) {
      t.match(read(...parts), fault, parts.join(""));
    }
    for (const [head, body] of [
      [`${ok}Content-Encoding: Identity\r\n\r\n`, "{}"],
      [chunked, "42"],
      [chunked, "add\nmore\n"],
      [chunked, '{"id":1}\r\n0\r\n\r\n'],
      [plain, "8\r\nlines\r\n"],
      [plain, '"GET / HTTP/1.1" 200 2, and HTTP/1.1 200 OK\n\n'],
      [`${ok}Content-Length: 19\r\n\r\n`, "\r\nHTTP/1.1 200 OK\r\n"],
      [`${ok}Content-Length: 8\r\n\r\n`, "0\r\nabc\r\n"],
    ] as const) {
      t.match(read(head, body), { status: 200, body: Buffer.from(body) }, head + body);
    }
  },
);
