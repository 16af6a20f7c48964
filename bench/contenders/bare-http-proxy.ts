/** http-proxy as its page says, with keep-alive to the upstream, and with WebSockets. No checks, no log, no metrics. */
import http from "node:http";
import httpProxy from "http-proxy";

const [port = "", target = ""] = process.argv.slice(2);
const proxy = httpProxy.createProxyServer({
  target,
  agent: new http.Agent({ keepAlive: true, maxSockets: 128 }),
});
proxy.on("error", (_error, _req, res) => {
  if (res instanceof http.ServerResponse && !res.headersSent) res.statusCode = 502;
  res.end();
});

const server = http.createServer((req, res) => proxy.web(req, res));
server.on("upgrade", (req, socket, head) => proxy.ws(req, socket, head));
server.keepAliveTimeout = 3_600_000;
server.listen(Number(port), "127.0.0.1", 4096);
