/** Every key of the configuration file as the reference writes it: `listen.port`, `defaults.key.from`, `routes[].name`. */
import { z } from "zod";
import { fileSchema } from "../../src/config/file-schema.ts";

export function keyPaths(): readonly string[] {
  return below(fileSchema, "");
}

function below(schema: unknown, path: string): readonly string[] {
  if (schema instanceof z.ZodExactOptional) return below(schema.unwrap(), path);
  if (schema instanceof z.ZodArray) return below(schema.element, `${path}[]`);
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([name, member]) => {
    const here = path === "" ? name : `${path}.${name}`;
    return [here, ...below(member, here)];
  });
}
