/**
 * The console's files, as the build made them: a page, a style sheet, a program and an icon. They hold no data, so they
 * need no token; what the page shows it asks for through the API, as every other caller does.
 */
import { readFile } from "node:fs/promises";
import { type AdminReply, problem } from "./reply.ts";

/** Path to file and type. Nothing else of the directory can be asked for. */
const FILES: ReadonlyMap<string, readonly [file: string, type: string]> = new Map([
  ["/console/", ["index.html", "text/html; charset=utf-8"]],
  ["/console/console.css", ["console.css", "text/css; charset=utf-8"]],
  ["/console/console.js", ["console.js", "text/javascript; charset=utf-8"]],
  ["/console/icon.svg", ["icon.svg", "image/svg+xml"]],
]);

/**
 * Nothing comes from elsewhere, nothing inline runs or styles, nothing frames the page, and a string never becomes
 * markup or code: the program builds its elements one by one.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "Content-Security-Policy": POLICY,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Frame-Options": "DENY",
};

/** What answers a path of the console; `undefined`: it is none. */
export function consolePage(path: string, dir: URL): (() => Promise<AdminReply>) | undefined {
  if (path === "/" || path === "/console") {
    // Relative: a proxy may have the port under a path of its own.
    return async () => ({ status: 302, headers: { Location: "console/" }, body: "" });
  }
  const known = FILES.get(path);
  if (known === undefined) return undefined;
  const [file, type] = known;
  return async () => {
    const body = await contents(new URL(file, dir));
    if (body === undefined) {
      return problem("not-found", "The console is not there: `npm run build` makes it.");
    }
    return { status: 200, headers: { ...HEADERS, "Content-Type": type }, body };
  };
}

async function contents(file: URL): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
