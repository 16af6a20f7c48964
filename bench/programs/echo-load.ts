/** WebSocket load: each connection sends a message, waits for its echo, sends the next. Prints one line of JSON. */
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";

const [url = "", connections = "", seconds = "", warmUp = ""] = process.argv.slice(2);
const MESSAGE = "x".repeat(100);

const sockets = Array.from(
  { length: Number(connections) },
  () => new WebSocket(url, { perMessageDeflate: false }),
);
await Promise.all(sockets.map((socket) => once(socket, "open")));
let echoes = 0;
let over = false;
for (const socket of sockets) {
  socket.on("message", () => {
    echoes += 1;
    if (!over) socket.send(MESSAGE);
  });
  socket.on("close", () => {
    if (!over) throw new Error("a connection was closed");
  });
  socket.send(MESSAGE);
}
await pause(Number(warmUp) * 1000);
process.stdout.write(`${JSON.stringify({ warm: true })}\n`);
const [before, began] = [echoes, performance.now()];
await pause(Number(seconds) * 1000);
const perSecond = ((echoes - before) * 1000) / (performance.now() - began);
over = true;
process.stdout.write(`${JSON.stringify({ echoes: echoes - before, perSecond })}\n`);
for (const socket of sockets) socket.terminate();
