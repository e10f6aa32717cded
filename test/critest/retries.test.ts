import { expect } from "chai";
import { PodSandboxConfig, type ContainerConfig } from "../../src/gen/runtime/v1/api.js";
import { failure, runtime, status } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { boxProcesses, expectSameMachine } from "../support/machine.js";
import { containerConfig, podConfig, runPod, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { sharedPod } from "../support/shared-pod.js";
import { eventually } from "../support/wait.js";

describe("A repeated", () => {
  let daemon: Daemon;
  before(async () => {
    daemon = await sharedDaemon();
  });

  describe("RunPodSandbox", () => {
    const run = async (config: PodSandboxConfig, signal?: AbortSignal): Promise<string> => {
      const options = signal === undefined ? {} : { signal };
      return (await daemon.cri.call(runtime.runPodSandbox, { config }, options)).podSandboxId;
    };
    const remove = async (podSandboxId: string): Promise<void> => {
      await daemon.cri.call(runtime.removePodSandbox, { podSandboxId });
    };
    const podsOf = async (config: PodSandboxConfig): Promise<string[]> => {
      const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
      return items.filter((item) => item.metadata?.uid === config.metadata?.uid).map((item) => item.id);
    };
    /** The creation has begun when its Box has a process. */
    const underWay = async (known: number): Promise<void> => {
      await eventually("a Box is being started", 20_000, async () =>
        (await boxProcesses(daemon.scope)).length > known ? true : undefined,
      );
    };

    it("joins the creation that is under way, and gets its sandbox", async () => {
      const before = await daemon.machine();
      const config = podConfig(daemon);
      const ids = await Promise.all([run(config), run(config), run(config)]);
      expect(new Set(ids).size).to.equal(1);
      expect(await podsOf(config)).to.deep.equal([ids[0]]);
      await remove(ids[0]);
      await expectSameMachine(daemon.scope, before);
    });

    it("gets the sandbox whose first caller has gone, and there is only one", async () => {
      const before = await daemon.machine();
      const known = (await boxProcesses(daemon.scope)).length;
      // Of a size that no Box is ready of, which would be a pod's before anybody could go.
      const config = podConfig(daemon, { linux: { resources: { memoryLimitInBytes: 300n << 20n } } });
      const gone = new AbortController();
      const first = run(config, gone.signal);
      first.catch(() => undefined);
      await underWay(known);
      gone.abort();
      await failure(first, status.CANCELLED);
      const repeat = run(config);
      const id = await repeat.catch(async () => {
        // It may have been ready by then: the answer names the sandbox all the same.
        const { details } = await failure(repeat, status.ALREADY_EXISTS);
        return /[0-9a-f]{64}/.exec(details)?.[0] ?? "";
      });
      expect(await podsOf(config)).to.deep.equal([id]);
      await remove(id);
      await expectSameMachine(daemon.scope, before);
    });

    it("is ALREADY_EXISTS with the id once it has succeeded, and starts afresh once that is removed", async () => {
      const config = podConfig(daemon);
      const id = await run(config);
      await failure(run(config), status.ALREADY_EXISTS, new RegExp(id));
      const [name, uid, namespace] = [config.metadata?.name ?? "", config.metadata?.uid ?? "", "test"];
      const next = await run({ ...config, metadata: { name, uid, namespace, attempt: 3 } });
      expect(next).to.not.equal(id);
      await remove(next);
      await remove(id);
      const again = await run(config);
      expect(again).to.not.equal(id);
      await remove(again);
    });

    it("is ALREADY_EXISTS too while the first is stopped and not removed: kubelet sees it", async () => {
      const config = podConfig(daemon);
      const id = await run(config);
      await daemon.cri.call(runtime.stopPodSandbox, { podSandboxId: id });
      await failure(run(config), status.ALREADY_EXISTS, new RegExp(id));
      await remove(id);
    });

    it("starts afresh once it has failed", async () => {
      const before = await daemon.machine();
      const good = podConfig(daemon);
      const bad = PodSandboxConfig.fromPartial({ ...good, linux: { sysctls: { "kernel.no_such_sysctl": "1" } } });
      await failure(run(bad), status.INVALID_ARGUMENT, /no_such_sysctl/);
      await expectSameMachine(daemon.scope, before);
      const id = await run(good);
      expect(await podsOf(good)).to.deep.equal([id]);
      await remove(id);
    });

    it("joined by many fails for all of them alike, and leaves nothing", async () => {
      const before = await daemon.machine();
      const bad = podConfig(daemon, { linux: { sysctls: { "kernel.no_such_sysctl": "1" } } });
      const failures = await Promise.all(
        Array.from({ length: 4 }, () => failure(run(bad), status.INVALID_ARGUMENT, /no_such_sysctl/)),
      );
      expect(new Set(failures.map(({ details }) => details)).size).to.equal(1);
      expect(await podsOf(bad)).to.deep.equal([]);
      await expectSameMachine(daemon.scope, before);
    });
  });

  describe("CreateContainer", () => {
    let pod: Pod;
    sharedPod(
      () => daemon,
      async () => {
        pod = await runPod(daemon);
        return pod;
      },
    );
    const create = async (config: ContainerConfig, signal?: AbortSignal): Promise<string> => {
      const request = { podSandboxId: pod.id, config, sandboxConfig: pod.config };
      const options = signal === undefined ? {} : { signal };
      return (await daemon.cri.call(runtime.createContainer, request, options)).containerId;
    };
    const containersOf = async (config: ContainerConfig): Promise<string[]> => {
      const { containers } = await daemon.cri.call(runtime.listContainers, {});
      return containers.filter((one) => one.metadata?.name === config.metadata?.name).map((one) => one.id);
    };

    it("joins the creation that is under way, and gets its container", async () => {
      const config = containerConfig();
      const ids = await Promise.all([create(config), create(config), create(config)]);
      expect(new Set(ids).size).to.equal(1);
      expect(await containersOf(config)).to.deep.equal([ids[0]]);
      await daemon.cri.call(runtime.removeContainer, { containerId: ids[0] });
    });

    it("gets the container whose first caller has gone, and there is only one", async () => {
      const config = containerConfig();
      const gone = new AbortController();
      const first = create(config, gone.signal);
      first.catch(() => undefined);
      const second = create(config);
      gone.abort();
      await first.catch(() => undefined);
      const id = await second;
      expect(await containersOf(config)).to.deep.equal([id]);
      await daemon.cri.call(runtime.removeContainer, { containerId: id });
    });

    it("is ALREADY_EXISTS with the id once it has succeeded, and starts afresh once that is removed", async () => {
      const config = containerConfig();
      const containerId = await create(config);
      await failure(create(config), status.ALREADY_EXISTS, new RegExp(containerId));
      await daemon.cri.call(runtime.removeContainer, { containerId });
      const again = await create(config);
      expect(again).to.not.equal(containerId);
      await daemon.cri.call(runtime.removeContainer, { containerId: again });
    });

    it("starts afresh once it has failed", async () => {
      const before = await daemon.machine();
      const good = containerConfig();
      const mounts = containerConfig({ mounts: [{ hostPath: "/no/such/directory", containerPath: "/x" }] }).mounts;
      await failure(create({ ...good, mounts }), status.INVALID_ARGUMENT, /no\/such\/directory/);
      await expectSameMachine(daemon.scope, before);
      const id = await create(good);
      await daemon.cri.call(runtime.removeContainer, { containerId: id });
    });
  });
});
