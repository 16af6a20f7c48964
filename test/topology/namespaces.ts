/**
 * Network namespaces with real links between them: two sides, each reachable from here, and a cable from one to the
 * other that can be cut. Needs the rights of root; says so where it has not got them.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Teardown } from "../support/teardown.ts";

export interface Side {
  /** Where the other side sees it, and where it is seen from here. */
  readonly address: string;
  readonly seenFromHere: string;
  /** What a command line must begin with to run on this side. */
  readonly under: readonly [string, ...string[]];
}

export interface Sides {
  readonly left: Side;
  readonly right: Side;
  /** Where both sides find what listens here. */
  readonly here: string;
  /** Drops every packet between the sides, both ways, without telling anybody. */
  cut(): Promise<void>;
  mend(): Promise<void>;
}

const run = promisify(execFile);

let made = 0;

export async function twoSides(t: Teardown): Promise<Sides> {
  made += 1;
  // Fifteen characters are what the name of a link may have.
  const name = `ig${process.pid.toString(36)}n${made}`;
  // Of 198.18.0.0/15, which is set aside for trials; a /28 of its own for each.
  const net = ((process.pid * 31 + made) % 8192) * 16;
  const at = (host: number): string =>
    [198, 18 + (net >> 16), (net >> 8) & 255, (net & 255) + host].join(".");
  const left: Side = {
    address: at(9),
    seenFromHere: at(2),
    under: ["ip", "netns", "exec", `${name}l`],
  };
  const right: Side = {
    address: at(10),
    seenFromHere: at(6),
    under: ["ip", "netns", "exec", `${name}r`],
  };
  const here = at(1);

  for (const side of ["l", "r"]) {
    await ip("netns", "add", `${name}${side}`);
    // The links go with the namespace that they end in.
    t.teardown(() => ip("netns", "del", `${name}${side}`));
  }
  await cable({ link: `${name}a`, address: here }, { ns: `${name}l`, link: "out", address: at(2) });
  await cable(
    { link: `${name}b`, address: at(5) },
    { ns: `${name}r`, link: "out", address: at(6) },
  );
  await cable(
    { ns: `${name}l`, link: "across", address: at(9) },
    { ns: `${name}r`, link: "across", address: at(10) },
  );
  await ip("-n", `${name}r`, "route", "add", `${here}/32`, "via", at(5));
  const drop = async (how: "-A" | "-D"): Promise<void> => {
    for (const { under } of [left, right]) {
      const [command, ...args] = [...under, "iptables", "-w", how, "INPUT", "-i", "across"];
      await run(command, [...args, "-j", "DROP"]);
    }
  };
  return { left, right, here, cut: () => drop("-A"), mend: () => drop("-D") };
}

interface End {
  readonly ns?: string;
  readonly link: string;
  readonly address: string;
}

async function cable(one: End, other: End): Promise<void> {
  const end = ({ ns, link }: End): string[] => [link, ...(ns === undefined ? [] : ["netns", ns])];
  await ip("link", "add", ...end(one), "type", "veth", "peer", "name", ...end(other));
  for (const { ns, link, address } of [one, other]) {
    const where = ns === undefined ? [] : ["-n", ns];
    await ip(...where, "address", "add", `${address}/30`, "dev", link);
    await ip(...where, "link", "set", link, "up");
    if (ns !== undefined) await ip(...where, "link", "set", "lo", "up");
  }
}

async function ip(...args: string[]): Promise<void> {
  try {
    await run("ip", args);
  } catch (error) {
    const why = error instanceof Error ? error.message : "unknown";
    throw new Error(
      `This needs network namespaces: the package iproute2, and root or CAP_NET_ADMIN and CAP_SYS_ADMIN. ${why}`,
      { cause: error },
    );
  }
}
