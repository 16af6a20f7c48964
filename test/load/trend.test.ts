/** A leak is told from noise: in made-up series, and in real processes of which one leaks. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { Random } from "../support/random.ts";
import { sizeOf } from "./process-size.ts";
import { growth, type Sample } from "./trend.ts";

const HOUR_MS = 3_600_000;
const LIMIT = { perHour: 1, wobble: 0 };

/** A sample a second: a saw of 12 MiB, as a garbage collector draws it, noise, and spikes. */
function series(spanMs: number, perHour: number, random: Random): Sample[] {
  return Array.from({ length: spanMs / 1000 }, (_, n) => {
    const saw = ((n % 47) / 47) * 12;
    const noise = random.between(-2000, 2000) / 1000;
    const spike = random.chance(0.01) ? 30 : 0;
    return { atMs: n * 1000, value: 90 + saw + noise + spike + (perHour * n * 1000) / HOUR_MS };
  });
}

t.test("in an hour 2 MiB are found, and none are found where there are none", async (t) => {
  for (let seed = 0; seed < 100; seed += 1) {
    t.match(growth("memory", series(HOUR_MS, 2, new Random(seed)), LIMIT), /^memory grows by/);
    t.equal(growth("memory", series(HOUR_MS, 0, new Random(seed)), LIMIT), undefined);
    t.equal(growth("memory", series(HOUR_MS, -5, new Random(seed)), LIMIT), undefined);
  }
});

t.test("in minutes a leak of 200 bytes a request is found, and settling is none", async (t) => {
  const limit = { perHour: 1, wobble: 8 };
  const spanMs = 180_000;
  for (let seed = 0; seed < 100; seed += 1) {
    t.match(growth("memory", series(spanMs, 300, new Random(seed)), limit), /^memory grows by/);
    t.equal(growth("memory", series(spanMs, 60, new Random(seed)), limit), undefined);
  }
});

t.test("one socket more a second is found", async (t) => {
  const leaking = Array.from({ length: 180 }, (_, n) => ({ atMs: n * 1000, value: 40 + n }));
  t.match(growth("sockets", leaking, { perHour: 1, wobble: 8 }), /^sockets grows by/);
});

t.test("of two processes the one that leaks is found", async (t) => {
  const work = (leak: string): string => `
    const kept = [];
    setInterval(() => {
      let garbage = [];
      for (let n = 0; n < 500; n += 1) garbage.push(Buffer.from("x".repeat(100 + n)).toString("hex"));
      ${leak}
    }, 5);
    process.stdout.write("up");`;
  const sampled = async (leak: string): Promise<Sample[]> => {
    const args = ["--max-old-space-size=128", "--max-semi-space-size=1", "-e", work(leak)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    t.teardown(async () => {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    });
    await once(child.stdout, "data");
    const samples: Sample[] = [];
    for (let n = 0; n < 120; n += 1) {
      await pause(50);
      // The first part is warm-up, as in the soak.
      if (n >= 48) samples.push({ atMs: performance.now(), value: sizeOf(child.pid ?? 0).rssMiB });
    }
    return samples;
  };
  const leak = "kept.push(Buffer.alloc(30_000, 1));";
  const [sound, leaking] = await Promise.all([sampled(""), sampled(leak)]);
  const limit = { perHour: 1, wobble: 8 };
  t.match(growth("memory", leaking, limit), /^memory grows by/);
  t.equal(growth("memory", sound, limit), undefined);
});
