/** What the containers of a pod share, and pods that are asked for in other words. */
import { NamespaceMode } from "../../../../src/gen/runtime/v1/api.js";
import { exec, removeContainer, removePod, runPod, shell, startContainer, type PodConfigPart } from "../../pods.js";
import { skipsBoxes, type Case } from "../case.js";
import { failed, imageOf, runContainer } from "../container.js";
import { fieldsOf, type Seen } from "../seen.js";
import type { Side } from "../bed.js";

const sleeps = ["sleep", "1000"];

/** A pod of its own, and one container in it. A Box takes seconds to boot: `A3S_BESIDE=all` has these in Boxes too. */
function ownPod(name: string, part: PodConfigPart, probe: string): Case {
  return {
    name,
    see: async (side) => {
      let pod;
      try {
        pod = await runPod(side, part, side.handler);
      } catch (thrown) {
        return failed("run", thrown);
      }
      try {
        return { run: "OK", ...(await runContainer(side, pod, { probe: `${probe}echo @@end\n` })) };
      } finally {
        await removePod(side, pod);
      }
    },
    sides: skipsBoxes ? ["native"] : ["box", "native"],
  };
}

const names = "echo @@hostname; cat /etc/hostname; uname -n; echo $HOSTNAME; cat /proc/sys/kernel/domainname\n";
const resolver = "echo @@resolv.conf; cat /etc/resolv.conf\n";

function pairs(text: string): [string, string][] {
  return text.split("\n").map((line) => {
    const [name = "", value = ""] = line.split(" ");
    return [name, value];
  });
}

async function between(side: Side, ids: readonly string[]): Promise<Seen> {
  const seen: Record<string, string> = {};
  const look = "cd /proc/self/ns; for n in *; do echo $n $(readlink $n); done";
  const of = await Promise.all(ids.map(async (id) => Object.fromEntries(pairs(await shell(side, id, look)))));
  for (const kind of ["net", "ipc", "uts", "pid", "mnt", "user", "time"]) {
    seen[`namespace ${kind}`] = of[0]?.[kind] === of[1]?.[kind] ? "shared" : "apart";
  }
  return seen;
}

export const podCases: readonly Case[] = [
  {
    name: "two containers of a pod",
    see: async (side, pod) => {
      const own = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };
      const part = { image: { image: imageOf(side, "plain") }, command: sleeps, linux: own };
      const ids = [await startContainer(side, pod, part), await startContainer(side, pod, part)];
      const [first = "", second = ""] = ids;
      try {
        await shell(side, first, "echo shared >/dev/shm/x; echo mine >/dev/mine; echo mine >/tmp/mine");
        const look = "cat /dev/shm/x; ls /dev/mine /tmp/mine 2>&1; rm /dev/shm/x; echo x >/etc/hosts; hostname";
        const other = await exec(side, second, ["sh", "-c", look]);
        return {
          ...(await between(side, ids)),
          "seen by the other": other.stdout.replaceAll("\n", "; "),
          "the first's hosts": await shell(side, first, "cat /etc/hosts"),
        };
      } finally {
        for (const id of ids) await removeContainer(side, id);
      }
    },
  },
  {
    name: "two containers that share their processes",
    see: async (side, pod) => {
      const shared = { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } };
      const part = { image: { image: imageOf(side, "plain") }, command: ["sleep", "1234"], linux: shared };
      const ids = [await startContainer(side, pod, part), await startContainer(side, pod, part)];
      const [first = ""] = ids;
      try {
        const look =
          "echo @@sleeps, and whether one is first; ps -o pid,args | awk '/ sleep 1234$/ { n++; if ($1 == 1) first = 1 } END { print n, first + 0 }'\n";
        return { ...(await between(side, ids)), ...fieldsOf(await shell(side, first, look)) };
      } finally {
        for (const id of ids) await removeContainer(side, id);
      }
    },
  },
  {
    name: "a container that joins another's processes",
    see: async (side, pod) => {
      const own = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };
      const targetId = await startContainer(side, pod, {
        image: { image: imageOf(side, "plain") },
        command: sleeps,
        linux: own,
      });
      try {
        const security = { namespaceOptions: { pid: NamespaceMode.TARGET, targetId } };
        const probe =
          "echo @@first; tr '\\0' ' ' </proc/1/cmdline; echo; echo @@root; ls /proc/1/root | wc -l; echo @@end\n";
        return await runContainer(side, pod, { security, probe });
      } finally {
        await removeContainer(side, targetId);
      }
    },
  },
  {
    name: "the pod's sysctls",
    see: (side, pod) =>
      runContainer(side, pod, {
        probe:
          "echo @@each sysctl; for f in net/ipv4/ip_local_port_range kernel/shm_rmid_forced net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range; do echo $f $(cat /proc/sys/$f); done; echo @@end\n",
      }),
  },
  ownPod("a pod without a host name", {}, names),
  ownPod("a pod whose host name has dots", { hostname: "a.b.test" }, names),
  ownPod("a pod whose host name has 64 letters", { hostname: "a".repeat(64) }, names),
  ownPod("a pod whose host name has 65 letters", { hostname: "a".repeat(65) }, names),
  ownPod("a pod whose host name is no name", { hostname: "under_score" }, names),
  ownPod("a pod without dns_config", { hostname: "x" }, resolver),
  ownPod("a pod with an empty dns_config", { hostname: "x", dnsConfig: {} }, resolver),
  ownPod("a pod with searches alone", { hostname: "x", dnsConfig: { searches: ["a.test"] } }, resolver),
  ownPod("a pod with a sysctl that is not there", { hostname: "x", linux: { sysctls: { "net.no.such": "1" } } }, names),
  ownPod(
    "a pod with a sysctl that is refused",
    { hostname: "x", linux: { sysctls: { "net.ipv4.ip_forward": "a lot" } } },
    names,
  ),
  ownPod("a pod with a sysctl of the node", { hostname: "x", linux: { sysctls: { "vm.swappiness": "1" } } }, names),
];
