/** What CRI answers: for whom a call is not meant, and what it says of a pod. */
import { readFile, stat } from "node:fs/promises";
import { image, runtime, type CriClient } from "../../cri-client.js";
import {
  containerConfig,
  containerStatus,
  exited,
  podStatus,
  removeContainer,
  startContainer,
  type Pod,
} from "../../pods.js";
import type { Side } from "../bed.js";
import type { Case } from "../case.js";
import { failed, imageOf, modeOf, plain } from "../container.js";
import type { Seen } from "../seen.js";
import { statusFields } from "../status.js";

/** The status codes of calls, a field each. */
async function codes(calls: Readonly<Record<string, () => Promise<unknown>>>): Promise<Seen> {
  const seen: Record<string, string> = {};
  for (const [name, call] of Object.entries(calls)) {
    try {
      await call();
      seen[name] = "OK";
    } catch (thrown) {
      seen[name] = failed(name, thrown)[name] ?? "";
    }
  }
  return seen;
}

const nobody = "0".repeat(64);
const cmd = ["true"];

function callsOf(cri: CriClient, containerId: string): Record<string, () => Promise<unknown>> {
  const streams = { stdin: false, stdout: true, stderr: true, tty: false };
  return {
    ContainerStatus: () => cri.call(runtime.containerStatus, { containerId }),
    ContainerStats: () => cri.call(runtime.containerStats, { containerId }),
    StartContainer: () => cri.call(runtime.startContainer, { containerId }),
    ExecSync: () => cri.call(runtime.execSync, { containerId, cmd, timeout: 10n }),
    Exec: () => cri.call(runtime.exec, { containerId, cmd, ...streams }),
    Attach: () => cri.call(runtime.attach, { containerId, ...streams }),
    ReopenContainerLog: () => cri.call(runtime.reopenContainerLog, { containerId }),
    UpdateContainerResources: () => cri.call(runtime.updateContainerResources, { containerId }),
    StopContainer: () => cri.call(runtime.stopContainer, { containerId, timeout: 0n }),
  };
}

const top = (side: Side) => ({ image: { image: imageOf(side, "plain") }, command: ["sleep", "1000"] });

async function create(side: Side, pod: Pod, name: string): Promise<string> {
  const config = containerConfig({ ...top(side), metadata: { name, attempt: 0 } });
  const request = { podSandboxId: pod.id, config, sandboxConfig: pod.config };
  return (await side.cri.call(runtime.createContainer, request)).containerId;
}

export const callCases: readonly Case[] = [
  {
    name: "calls for nobody",
    see: ({ cri }) => {
      const podSandboxId = nobody;
      return codes({
        ...callsOf(cri, nobody),
        RemoveContainer: () => cri.call(runtime.removeContainer, { containerId: nobody }),
        CreateContainer: () => cri.call(runtime.createContainer, { podSandboxId, config: containerConfig() }),
        PodSandboxStatus: () => cri.call(runtime.podSandboxStatus, { podSandboxId }),
        PodSandboxStats: () => cri.call(runtime.podSandboxStats, { podSandboxId }),
        PortForward: () => cri.call(runtime.portForward, { podSandboxId, port: [80] }),
        StopPodSandbox: () => cri.call(runtime.stopPodSandbox, { podSandboxId }),
        RemovePodSandbox: () => cri.call(runtime.removePodSandbox, { podSandboxId }),
        UpdatePodSandboxResources: () => cri.call(runtime.updatePodSandboxResources, { podSandboxId }),
        ImageStatus: () => cri.call(image.imageStatus, { image: { ...noImage, image: "not-there" } }),
        RemoveImage: () => cri.call(image.removeImage, { image: { ...noImage, image: "not-there" } }),
      });
    },
  },
  {
    name: "calls for a container in each state",
    see: async (side, pod) => {
      const { cri } = side;
      const id = await create(side, pod, "states");
      const seen: Record<string, string> = {};
      const look = async (when: string, calls: Record<string, () => Promise<unknown>>): Promise<void> => {
        for (const [name, code] of Object.entries(await codes(calls))) seen[`${when} ${name}`] = code;
      };
      try {
        const { StartContainer, StopContainer, ...others } = callsOf(cri, id);
        const again = (): Promise<unknown> => create(side, pod, "states");
        await look("created", { ...others, "CreateContainer again": again });
        await look("started", { ...(StartContainer && { StartContainer }) });
        await look("running", { ...(StartContainer && { StartContainer }), ...others });
        await look("running", { ...(StopContainer && { StopContainer }) });
        await look("ended", callsOf(cri, id));
        seen["ended state"] = String((await containerStatus(side, id)).state);
      } finally {
        await removeContainer(side, id);
      }
      return seen;
    },
  },
  {
    name: "a container that is stopped before its start",
    see: async (side, pod) => {
      const { cri } = side;
      const containerId = await create(side, pod, "unstarted");
      const calls = callsOf(cri, containerId);
      try {
        const seen = await codes({
          StopContainer: () => cri.call(runtime.stopContainer, { containerId, timeout: 1n }),
        });
        const { state, reason, exitCode } = await containerStatus(side, containerId);
        return {
          ...seen,
          state: String(state),
          reason,
          code: String(exitCode),
          ...(await codes({ ...(calls["StartContainer"] && { Start: calls["StartContainer"] }) })),
        };
      } finally {
        await removeContainer(side, containerId);
      }
    },
  },
  {
    name: "a container that is removed while it runs",
    see: async (side, pod) => {
      const containerId = await startContainer(side, pod, top(side));
      const remove = () => side.cri.call(runtime.removeContainer, { containerId });
      const look = () => side.cri.call(runtime.containerStatus, { containerId });
      return codes({ RemoveContainer: remove, "ContainerStatus after it": look });
    },
  },
  {
    name: "a log",
    see: async (side, pod) => {
      const line = "printf 'one\\n\\n'; head -c 40000 /dev/zero | tr '\\0' x; printf '\\r\\nlast'; echo err >&2";
      const id = await startContainer(side, pod, { ...top(side), command: ["sh", "-c", line] });
      try {
        const { logPath } = await exited(side, id);
        // Two pipes have no order between them, and a part of a line is written when no more of it comes.
        const written = await linesOf(logPath);
        const lines = written.toSorted((one, other) => other.stream.localeCompare(one.stream));
        return {
          mode: await modeOf(logPath),
          lines: lines.map(({ stream, tag, text }) => `${stream} ${tag} ${String(text.length)}`).join("; "),
          ends: lines.map(({ text }) => JSON.stringify(text.slice(-3))).join(" "),
          directory: await modeOf(pod.config.logDirectory),
        };
      } finally {
        await removeContainer(side, id);
      }
    },
  },
  {
    name: "a container without a log",
    see: async (side, pod) => {
      const id = await startContainer(side, pod, { ...top(side), command: ["echo", "x"], logPath: "" });
      try {
        const { logPath } = await exited(side, id);
        return { path: logPath, there: String((await stat(logPath).catch(() => undefined))?.isFile()) };
      } finally {
        await removeContainer(side, id);
      }
    },
  },
  {
    name: "resources after an update",
    see: async (side, pod) => {
      const { cri } = side;
      const id = await startContainer(side, pod, {
        ...top(side),
        linux: { resources: { cpuShares: 100n, memoryLimitInBytes: 64n << 20n, oomScoreAdj: 7n } },
      });
      try {
        const { linux } = {
          linux: { ...noResources, cpuQuota: 20_000n, cpuPeriod: 100_000n, memoryLimitInBytes: 96n << 20n },
        };
        const seen = await codes({
          Update: () => cri.call(runtime.updateContainerResources, { containerId: id, linux }),
        });
        return { ...seen, ...statusFields("after", { ...(await containerStatus(side, id)).resources }) };
      } finally {
        await removeContainer(side, id);
      }
    },
  },
  {
    name: "the pod's status",
    see: async (side, pod) => {
      const status = await podStatus(side, pod.id);
      const { items } = await side.cri.call(runtime.listPodSandbox, {});
      const listed = items.find(({ id }) => id === pod.id);
      const names = new Map([
        [pod.id, "<id>"],
        [status.network?.ip ?? "-", "<ip>"],
        [pod.config.metadata?.uid ?? "-", "<uid>"],
      ]);
      const fields = { ...statusFields("status", status), ...statusFields("listed", { ...listed }) };
      return Object.fromEntries(Object.entries(fields).map(([field, text]) => [field, plain(text, names)]));
    },
  },
];

/** containerd leaves out zeros at the end of a second's fraction. */
async function linesOf(path: string): Promise<{ stream: string; tag: string; text: string }[]> {
  const lines = (await readFile(path, "utf8")).split("\n").slice(0, -1);
  return lines.map((line) => {
    const [, stream = "", tag = "", text = ""] = /^\S+T[\d:.]+\S* (stdout|stderr) (\S+) (.*)$/s.exec(line) ?? [];
    return { stream, tag, text };
  });
}

const noImage = { annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" };
const noResources = {
  ...{ cpuPeriod: 0n, cpuQuota: 0n, cpuShares: 0n, memoryLimitInBytes: 0n, oomScoreAdj: 0n, cpusetCpus: "" },
  ...{ cpusetMems: "", hugepageLimits: [], unified: {}, memorySwapLimitInBytes: 0n },
};
