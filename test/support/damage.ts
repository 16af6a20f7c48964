/** Damages a record of an embedded store that is open elsewhere: one bit of what is stored is turned. */
import { open } from "lmdb";

export async function damageRecord(dir: string, id: string): Promise<void> {
  const env = open({ path: dir, noSubdir: false, encoding: "binary", maxDbs: 8 });
  const records = env.openDB<Buffer, string>("records", { encoding: "binary" });
  const bytes = Buffer.from(records.getBinary(id) ?? Buffer.alloc(0));
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await records.put(id, bytes);
  await env.close();
}
