/** An answer as `curl -i` prints it, with what came before it and with what belonged to its connection. */
export const PRINTED = [
  "HTTP/1.1 100 Continue",
  "",
  "HTTP/1.1 201 Created",
  "Date: Sun, 29 Nov 2026 10:00:00 GMT",
  "Connection: keep-alive, X-Hop",
  "X-Hop: 1",
  "Keep-Alive: timeout=5",
  "Transfer-Encoding: chunked",
  "content-type:  application/json\t",
  "Set-Cookie: a=1",
  "set-cookie: b=é",
  "",
  '{"id":"ch_canary"}',
].join("\r\n");
