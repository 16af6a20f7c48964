/** The stored bytes of records of an embedded store that is open elsewhere: read, replaced, damaged. */
import { open } from "lmdb";

/** One bit of what is stored is turned. */
export async function damageRecord(dir: string, id: string): Promise<void> {
  const bytes = await storedBytes(dir, id);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await storeBytes(dir, id, bytes);
}

/** Empty where there is none. */
export async function storedBytes(dir: string, id: string): Promise<Buffer> {
  const { env, records } = openRecords(dir);
  const bytes = Buffer.from(records.getBinary(id) ?? Buffer.alloc(0));
  await env.close();
  return bytes;
}

export async function storeBytes(dir: string, id: string, bytes: Buffer): Promise<void> {
  const { env, records } = openRecords(dir);
  await records.put(id, bytes);
  await env.close();
}

function openRecords(dir: string) {
  const env = open({ path: dir, noSubdir: false, encoding: "binary", maxDbs: 8 });
  return { env, records: env.openDB<Buffer, string>("records", { encoding: "binary" }) };
}
