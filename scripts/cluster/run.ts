import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.js";
import { orAborted } from "../../src/base/or-aborted.js";
import { exampleFile, startFurnishedCluster, type FurnishedCluster } from "../../test/support/furnished-cluster.js";
import { busyboxImage } from "../../test/support/images.js";

const asked = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(name, () => {
    asked.abort();
  });
}
// Whoever started this has ended, by whatever.
process.stdin.on("close", () => {
  asked.abort();
});
process.stdin.resume();

const startedMs = performance.now();
console.log("bringing the cluster up …");
try {
  const cluster = await startFurnishedCluster({ signal: asked.signal });
  try {
    await orAborted(show(cluster), asked.signal);
    if (!asked.signal.aborted) await once(asked.signal, "abort");
  } finally {
    console.log("\ntaking the cluster down …");
    await cluster.remove();
  }
} catch (thrown) {
  if (!asked.signal.aborted) throw thrown;
  if (thrown !== asked.signal.reason) console.error(messageOf(thrown));
}
console.log("the cluster is down");
process.exit(0);

async function show({ plane, kubelet, daemon, kubectl: run, wait }: FurnishedCluster): Promise<void> {
  const { directory, kubeconfig } = plane;
  const kubectl = join(directory, "kubectl");
  const enter = `nsenter --net=/proc/${String(process.pid)}/ns/net`;
  const program = join(import.meta.dirname, "../../build/assets/control-plane/kubectl");
  await writeFile(kubectl, `#!/bin/sh\nexec ${enter} ${program} --kubeconfig ${kubeconfig} "$@"\n`);
  await chmod(kubectl, 0o755);
  const upS = seconds();
  await run("apply", "-f", exampleFile);
  await wait("a3sbox/agent", "condition=Ready");
  console.log(`
A cluster of one node is up, after ${upS} s, with the chart and its operator; an A3sBox is Ready, after ${seconds()} s. Its network is a
namespace of its own:

  export KUBECONFIG=${kubeconfig}    (inside: ${enter} …)
  ${kubectl} get nodes -o wide
  ${kubectl} get a3sboxes -o wide
  ${kubectl} exec agent -- agent "fix the build"
  ${kubectl} exec -i agent -- agent acp
  ${kubectl} run hello --image=${busyboxImage} --image-pull-policy=Never --command -- sh -c 'uname -r; sleep 600'
  ${kubectl} exec -it hello -- sh

Logs: ${directory}/*.log, ${kubelet.base}/kubelet.log, ${daemon.base}/daemon.log
Interrupt this (Ctrl-C) to take it all down.`);
}

function seconds(): string {
  return ((performance.now() - startedMs) / 1000).toFixed(0);
}
