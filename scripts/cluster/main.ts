import { spawn } from "node:child_process";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.js";
import { buildDist } from "../setup/dist.js";
import { interrupted } from "../setup/interrupted.js";
import { setUp, setupContext } from "../setup/set-up.js";

const root = join(import.meta.dirname, "../..");
const signal = interrupted();
const context = setupContext(root, signal, (line) => {
  console.log(line);
});
try {
  console.log("setting up: what is there already is taken as it is; a control plane takes half an hour to build");
  await setUp(context, { drivers: ["qemu"], forTests: true, more: "cluster" });
  await buildDist(context);
  process.exitCode = await inNamespace("scripts/cluster/run.ts");
} catch (thrown) {
  console.error(messageOf(thrown));
  process.exitCode = 1;
}

/**
 * In a network namespace of its own: bridges, rules and ports of the cluster are nobody else's. In a session of its own
 * too: Ctrl-C would end daemon and API server before they have taken their pods down. It ends by itself when it is asked
 * to, and when this process is no more, which closes its input.
 */
async function inNamespace(script: string): Promise<number> {
  const args = ["--net", process.execPath, "--import=tsx", join(root, script)];
  const child = spawn("unshare", args, { cwd: root, stdio: ["pipe", "inherit", "inherit"], detached: true });
  signal.addEventListener("abort", () => child.kill("SIGTERM"));
  return await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      resolve(code ?? 1);
    });
  });
}
