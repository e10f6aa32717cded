import { chmod, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import { busyboxImage } from "../../test/support/images.js";
import { startCluster } from "../../test/support/cluster.js";

const asked = Promise.race(["SIGINT", "SIGTERM"].map((name) => once(process, name)));
const startedMs = performance.now();
console.log("bringing the cluster up …");
const cluster = await startCluster();
try {
  const { folder, kubeconfig } = cluster.plane;
  const kubectl = join(folder, "kubectl");
  const enter = `nsenter --net=/proc/${String(process.pid)}/ns/net`;
  const program = join(import.meta.dirname, "../../build/assets/control-plane/kubectl");
  await writeFile(kubectl, `#!/bin/sh\nexec ${enter} ${program} --kubeconfig ${kubeconfig} "$@"\n`);
  await chmod(kubectl, 0o755);
  await cluster.plane.kubectl("wait", "node/node1", "--for=condition=Ready", "--timeout=240s");
  console.log(`
A cluster of one node is up, after ${((performance.now() - startedMs) / 1000).toFixed(0)} s. Its network is a namespace of its own:

  export KUBECONFIG=${kubeconfig}    (inside: ${enter} …)
  ${kubectl} get nodes -o wide
  ${kubectl} run hello --image=${busyboxImage} --image-pull-policy=Never --command -- sh -c 'uname -r; sleep 600'
  ${kubectl} exec -it hello -- sh

Logs: ${folder}/*.log, ${cluster.kubelet.base}/kubelet.log, ${cluster.daemon.base}/daemon.log
Interrupt this (Ctrl-C) to take it all down.`);
  await asked;
} finally {
  console.log("\ntaking the cluster down …");
  await cluster.remove();
}
process.exit(0);
