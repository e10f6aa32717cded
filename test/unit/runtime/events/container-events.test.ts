import { expect } from "chai";
import { criEvent } from "../../../../src/cri/map/events.js";
import { ContainerEvents } from "../../../../src/runtime/events/container-events.js";
import type { ContainerEvent } from "../../../../src/runtime/events/container-event.js";
import { createContainer } from "../../../../src/cri/rpc/create-container.js";
import { removeContainer } from "../../../../src/cri/rpc/remove-container.js";
import { startContainer } from "../../../../src/cri/rpc/start-container.js";
import { call, containerRequest, failureOf, makeWorld } from "../container/fakes.js";

const never = new AbortController().signal;

function event(id: string): Omit<ContainerEvent, "atNs"> {
  return { happening: "created", id, pod: undefined, containers: [] };
}

async function take(from: AsyncIterator<ContainerEvent>, count: number): Promise<ContainerEvent[]> {
  const taken: ContainerEvent[] = [];
  while (taken.length < count) {
    const next = await from.next();
    if (next.done === true) throw new Error("it has ended");
    taken.push(next.value);
  }
  return taken;
}

describe("container events", () => {
  it("reach every subscriber from its subscription on, with rising times", async () => {
    const events = new ContainerEvents();
    events.publish(() => event("before"));
    const one = events.subscribe(never)[Symbol.asyncIterator]();
    events.publish(() => event("a"));
    const two = events.subscribe(never)[Symbol.asyncIterator]();
    for (const id of ["b", "c"]) events.publish(() => event(id));
    const ofOne = await take(one, 3);
    expect(ofOne.map(({ id }) => id)).to.deep.equal(["a", "b", "c"]);
    expect((await take(two, 2)).map(({ id }) => id)).to.deep.equal(["b", "c"]);
    const times = ofOne.map(({ atNs }) => atNs);
    expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0n))).to.equal(true);
  });

  it("are made only when somebody listens, and no more once nobody does", async () => {
    const events = new ContainerEvents();
    let made = 0;
    const make = () => {
      made += 1;
      return event("x");
    };
    events.publish(make);
    const gone = new AbortController();
    const one = events.subscribe(gone.signal)[Symbol.asyncIterator]();
    events.publish(make);
    await take(one, 1);
    const waiting = one.next();
    gone.abort(new Error("gone"));
    await waiting.catch(() => undefined);
    events.publish(make);
    expect(made).to.equal(1);
  });

  it("end with resourceExhausted for who falls too far behind: nothing is left out silently", async () => {
    const events = new ContainerEvents();
    const slow = events.subscribe(never)[Symbol.asyncIterator]();
    for (let index = 0; index < 1001; index += 1) events.publish(() => event(String(index)));
    expect((await failureOf(slow.next())).code).to.equal("resourceExhausted");
  });

  it("tell a container's life in its order, each with the statuses of its moment", async () => {
    const world = await makeWorld();
    try {
      const heard = world.deps.events.subscribe(never)[Symbol.asyncIterator]();
      const { containerId } = await createContainer(containerRequest(world), call(), world.deps);
      await startContainer({ containerId }, call(), world.deps);
      world.box.agent.init(containerId).end(3);
      await world.deps.containers.require(containerId).exited;
      await removeContainer({ containerId }, call(), world.deps);
      const seen = (await take(heard, 4)).map(criEvent).map((found) => ({
        type: found.containerEventType,
        pod: found.podSandboxStatus?.metadata?.name,
        states: found.containersStatuses.map(({ id, state, exitCode }) => [id, state, exitCode]),
      }));
      expect(seen).to.deep.equal([
        { type: 0, pod: "web", states: [[containerId, 0, 0]] },
        { type: 1, pod: "web", states: [[containerId, 1, 0]] },
        { type: 2, pod: "web", states: [[containerId, 2, 3]] },
        { type: 3, pod: "web", states: [] },
      ]);
    } finally {
      await world.remove();
    }
  });
});
