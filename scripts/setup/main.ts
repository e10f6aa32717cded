import { join } from "node:path";
import { messageOf } from "../../src/base/errors.js";
import { buildDist } from "./dist.js";
import { interrupted } from "./interrupted.js";
import { setUp, setupContext, usableDriver } from "./set-up.js";
import { Stopwatch } from "./stopwatch.js";

const root = join(import.meta.dirname, "../..");
const stop = interrupted();
const watch = new Stopwatch();
const context = setupContext(root, stop, (line) => {
  console.log(line);
});
try {
  const asked = process.argv[2];
  const more = (["cluster", "helm", "oldest-kubelet", "coding-agents"] as const).find((one) => one === asked);
  const forTests = asked === "test" || more !== undefined;
  await watch.time("native parts", async () => {
    await setUp(context, {
      forTests,
      ...(more === undefined ? {} : { more }),
      ...(asked === "kernel" ? { kernel: "own" as const } : {}),
      drivers: forTests ? ["qemu", "krun"] : [await usableDriver(context)],
    });
  });
  await watch.time("dist", () => buildDist(context));
  console.log(watch.table());
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exitCode = 1;
}
