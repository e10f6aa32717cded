import { expect } from "chai";
import {
  ContainerEventType,
  ContainerState,
  PodSandboxState,
  type ContainerEventResponse,
} from "../../src/gen/runtime/v1/api.js";
import { image, runtime, type Listening } from "../support/cri-client.js";
import type { Daemon } from "../support/daemon.js";
import { createContainer, exited, removePod, runPod, type Pod } from "../support/pods.js";
import { sharedDaemon } from "../support/shared-daemon.js";
import { eventually } from "../support/wait.js";

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } =
  ContainerEventType;
const wholeLife = [CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT];

/** One pod's life, seen by two listeners; the lists are asked for in it too. */
describe("Container events", () => {
  let daemon: Daemon;
  let pod: Pod;
  let first: string;
  let second: string;
  let listeners: Listening<ContainerEventResponse>[];
  const events = (): ContainerEventResponse[] =>
    (listeners[0]?.messages ?? []).filter((event) => event.podSandboxStatus?.id === pod.id);
  const of = (id: string): ContainerEventResponse[] => events().filter((event) => event.containerId === id);

  before(async () => {
    daemon = await sharedDaemon();
    listeners = await Promise.all([1, 2].map(() => daemon.cri.listen(runtime.getContainerEvents, {})));
    pod = await runPod(daemon);
    [first, second] = await Promise.all([
      createContainer(daemon, pod, { command: ["sh", "-c", "exit 7"], labels: { app: "events" } }),
      createContainer(daemon, pod),
    ]);
    for (const containerId of [first, second]) await daemon.cri.call(runtime.startContainer, { containerId });
    await exited(daemon, first);
  });
  after(() => {
    for (const { stop } of listeners) stop();
  });

  it("come for a container that ends by itself, with its exit code", async () => {
    const stopped = await eventually("the end is told", 5_000, () => of(first)[2]);
    const status = stopped.containersStatuses.find(({ id }) => id === first);
    expect([status?.state, status?.exitCode]).to.deep.equal([ContainerState.CONTAINER_EXITED, 7]);
    expect(status?.finishedAt).to.not.equal(0n);
    expect(stopped.podSandboxStatus?.state).to.equal(PodSandboxState.SANDBOX_READY);
  });

  it("have what the lists have at that moment, which streams give in parts", async () => {
    const { podSandboxes } = (await daemon.cri.stream(runtime.streamPodSandboxes, {})).reduce((all, part) => ({
      podSandboxes: [...all.podSandboxes, ...part.podSandboxes],
    }));
    const { items } = await daemon.cri.call(runtime.listPodSandbox, {});
    expect(podSandboxes.map(({ id }) => id)).to.have.members(items.map(({ id }) => id));
    const filter = { id: "", podSandboxId: pod.id, labelSelector: { app: "events" } };
    const parts = await daemon.cri.stream(runtime.streamContainers, { filter: { ...filter, state: undefined } });
    expect(parts.flatMap(({ containers }) => containers.map(({ id }) => id))).to.deep.equal([first]);
    const stats = await daemon.cri.stream(runtime.streamContainerStats, { filter: { ...filter, labelSelector: {} } });
    expect(stats.flatMap((part) => part.containerStats.map((one) => one.attributes?.id))).to.deep.equal([second]);
    const images = await daemon.cri.stream(image.streamImages, {});
    expect(images.flatMap((part) => part.images)).to.deep.equal((await daemon.cri.call(image.listImages, {})).images);
  });

  it("tell the whole life of each container and of the sandbox, in order, to every listener", async () => {
    await removePod(daemon, pod);
    await eventually("the last event has come", 5_000, () => of(pod.id)[3]);
    for (const id of [first, second, pod.id]) {
      expect(of(id).map((event) => event.containerEventType)).to.deep.equal(wholeLife);
    }
    const times = events().map(({ createdAt }) => createdAt);
    expect(times).to.deep.equal([...times].sort((a, b) => (a < b ? -1 : 1)));
    const place = (id: string, type: ContainerEventType): number =>
      events().findIndex((event) => event.containerId === id && event.containerEventType === type);
    expect(place(second, CONTAINER_STOPPED_EVENT)).to.be.lessThan(place(pod.id, CONTAINER_STOPPED_EVENT));
    const other = listeners[1]?.messages.filter((event) => event.podSandboxStatus?.id === pod.id);
    await eventually("the other one has them too", 5_000, () => (other?.length === events().length ? true : undefined));
    expect(other).to.deep.equal(events());
  });

  it("carry the pod's identity and state to the last one", () => {
    const last = of(pod.id)[3];
    expect(last?.podSandboxStatus?.metadata).to.deep.equal(pod.config.metadata);
    expect(last?.podSandboxStatus?.state).to.equal(PodSandboxState.SANDBOX_NOTREADY);
    expect(last?.containersStatuses).to.deep.equal([]);
  });
});
