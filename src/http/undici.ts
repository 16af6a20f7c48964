/**
 * The parts of undici that the guarded call needs. Its index would also load fetch, WebSocket, a cache and mocks: 165 ms
 * of CPU at every start, where these take 60.
 */
import type * as Undici from "undici";
import buildConnector from "undici/lib/core/connect.js";
import Client from "undici/lib/dispatcher/client.js";

export { buildConnector, Client };

export type Connect = Undici.buildConnector.connector;
export type Controller = Undici.Dispatcher.DispatchController;
export type Handler = Undici.Dispatcher.DispatchHandler;
