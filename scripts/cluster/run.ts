import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../src/base/errors.js";
import { startCluster, type Cluster } from "../../test/support/cluster.js";
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
  const cluster = await startCluster({ signal: asked.signal });
  try {
    await show(cluster);
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

async function show({ plane, kubelet, daemon, wait }: Cluster): Promise<void> {
  const { folder, kubeconfig } = plane;
  const kubectl = join(folder, "kubectl");
  const enter = `nsenter --net=/proc/${String(process.pid)}/ns/net`;
  const program = join(import.meta.dirname, "../../build/assets/control-plane/kubectl");
  await writeFile(kubectl, `#!/bin/sh\nexec ${enter} ${program} --kubeconfig ${kubeconfig} "$@"\n`);
  await chmod(kubectl, 0o755);
  await wait("node/node1", "condition=Ready", 240);
  console.log(`
A cluster of one node is up, after ${((performance.now() - startedMs) / 1000).toFixed(0)} s. Its network is a namespace of its own:

  export KUBECONFIG=${kubeconfig}    (inside: ${enter} …)
  ${kubectl} get nodes -o wide
  ${kubectl} run hello --image=${busyboxImage} --image-pull-policy=Never --command -- sh -c 'uname -r; sleep 600'
  ${kubectl} exec -it hello -- sh

Logs: ${folder}/*.log, ${kubelet.base}/kubelet.log, ${daemon.base}/daemon.log
Interrupt this (Ctrl-C) to take it all down.`);
}
