/**
 * The bytes of a resource's memory: JSON, bodies as base64. What is read back is checked piece by piece, because a
 * cell that somebody else has written must become an alarm and not an answer.
 */
import { RecordCorrupt } from "./ports.ts";
import type { Original } from "./problem.ts";
import type { HeaderPair, RecordedResponse } from "./record.ts";
import type { ResourceMemory, Writer } from "./resource.ts";

export function encodeMemory(memory: ResourceMemory): Uint8Array {
  const { tombstone, ...rest } = memory;
  if (tombstone === undefined) return toBytes(rest);
  const { body, ...head } = tombstone.response;
  // Not left to JSON.stringify: a Buffer would turn itself into a list of numbers first.
  const text = body === undefined ? undefined : Buffer.from(body).toString("base64");
  return toBytes({ ...rest, tombstone: { ...tombstone, response: { ...head, body: text } } });
}

function toBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** @throws RecordCorrupt when the bytes are not a memory that this code wrote. */
export function decodeMemory(bytes: Uint8Array | undefined): ResourceMemory {
  if (bytes === undefined) return {};
  const fields = asObject(parse(bytes));
  return {
    ...(fields["writer"] !== undefined && { writer: asWriter(fields["writer"]) }),
    ...(fields["owner"] !== undefined && { owner: asOwner(fields["owner"]) }),
    ...(fields["tombstone"] !== undefined && { tombstone: asTombstone(fields["tombstone"]) }),
    ...(fields["deleting"] === true && { deleting: true }),
    ...(fields["content"] !== undefined && { content: asText(fields["content"]) }),
    ...(fields["frees"] !== undefined && { frees: asSlot(fields["frees"]) }),
  };
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // The parser's error quotes its input.
    throw corrupt();
  }
}

function asWriter(value: unknown): Writer {
  const { record, keyed, original } = asObject(value);
  if (typeof keyed !== "boolean") throw corrupt();
  return { record: asText(record), keyed, original: asOriginal(original) };
}

function asOwner(value: unknown): NonNullable<ResourceMemory["owner"]> {
  const { settled, sentBefore } = asObject(value);
  if (typeof settled !== "boolean") throw corrupt();
  return { ...asWriter(value), settled, ...(sentBefore === true && { sentBefore }) };
}

function asSlot(value: unknown): NonNullable<ResourceMemory["frees"]> {
  const { resource, owner } = asObject(value);
  return { resource: asText(resource), owner: asText(owner) };
}

function asOriginal(value: unknown): Original {
  const { method, target, createdAt, status, location } = asObject(value);
  return {
    method: asText(method),
    target: asText(target),
    createdAt: asText(createdAt),
    ...(status !== undefined && { status: asNumber(status) }),
    ...(location !== undefined && { location: asText(location) }),
  };
}

function asTombstone(value: unknown): NonNullable<ResourceMemory["tombstone"]> {
  const { deletedAtMs, untilMs, response, scope, doubted } = asObject(value);
  return {
    deletedAtMs: asNumber(deletedAtMs),
    untilMs: asNumber(untilMs),
    response: asResponse(response),
    scope: asText(scope),
    ...(doubted === true && { doubted }),
  };
}

function asResponse(value: unknown): RecordedResponse {
  const { status, headers, body } = asObject(value);
  if (!Array.isArray(headers)) throw corrupt();
  return {
    status: asNumber(status),
    headers: headers.map(asHeader),
    body: body === undefined ? undefined : Buffer.from(asText(body), "base64"),
  };
}

function asHeader(value: unknown): HeaderPair {
  if (!Array.isArray(value) || value.length !== 2) throw corrupt();
  const [name, text] = value as unknown[];
  return [asText(name), asText(text)];
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw corrupt();
  return value as Record<string, unknown>;
}

function asText(value: unknown): string {
  if (typeof value !== "string") throw corrupt();
  return value;
}

function asNumber(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw corrupt();
  return value;
}

function corrupt(): RecordCorrupt {
  return new RecordCorrupt("What is stored for a resource cannot be read.");
}
