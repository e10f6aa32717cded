import { setMaxListeners } from "node:events";
import { messageOf, RuntimeError } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import { orAborted } from "../../base/or-aborted.js";
import type { Logger } from "../../base/log.js";
import type { HandlerConfig } from "../../config/config.js";
import type { Box } from "../../vmm/box.js";
import type { CheckedPod } from "../pod/checked-pod.js";
import type { Pod } from "../pod/pod.js";
import { Places } from "./places.js";
import type { PodConnections, PodService } from "./pod-service.js";
import type { PortStream } from "./port-stream.js";
import { Rate } from "./rate.js";
import { mostConnectionsOfPod, type ServedByHost } from "./served-by-host.js";
import { goOnServing, servePort, type PortServing } from "./serve-port.js";

/** New connections of one pod: a guest that makes them without end gets no more of the daemon's time. */
const burst = mostConnectionsOfPod;
const perSecond = 200;

/** The ports of all pods that the host serves, and the services behind them. */
export class ServedPorts {
  readonly #log: Logger;
  readonly #closing: AbortSignal;
  readonly #services = new Map<string, PodService>();

  constructor(log: Logger, closing: AbortSignal) {
    this.#log = log;
    this.#closing = closing;
  }

  /** Before pods are made or taken up. */
  register(service: PodService): void {
    this.#services.set(service.name, service);
  }

  /** What a new pod is to have. Throws `invalidArgument`. */
  planFor({ spec, hostNamespaces }: CheckedPod, handler: HandlerConfig | undefined): readonly ServedByHost[] {
    if (handler === undefined) return [];
    const planned = [...this.#services.values()]
      .map((service) => ({ service: service.name, ports: service.portsFor(spec, handler) }))
      .filter(({ ports }) => ports.length > 0);
    const [first] = planned;
    if (first !== undefined && hostNamespaces.includes("network")) {
      throw new RuntimeError("invalidArgument", `${first.service}: the pod shares the host's network`, {
        hint: "leave out hostNetwork, or the annotation",
      });
    }
    checkApart(planned);
    return planned;
  }

  /** For the containers of a pod: where to find what its services have for them. */
  environmentOf(pod: Pod): Readonly<Record<string, string>> {
    const environment: Record<string, string> = {};
    for (const { service } of pod.record.served ?? []) {
      Object.assign(environment, this.#services.get(service)?.environmentOf?.(pod));
    }
    return environment;
  }

  /** Has the agent of a new pod listen on all of them, and serves them until the Box has gone. */
  async begin(pod: Pod, box: Box, signal: AbortSignal): Promise<void> {
    const { servings, until } = this.#open(pod, box, "made");
    for (const serving of servings) await orAborted(servePort(serving, until), signal);
  }

  /** The same, of a pod that was there before the daemon. What nobody serves any more refuses its clients. */
  takeUp(pod: Pod, box: Box): void {
    const { servings, until } = this.#open(pod, box, "takenUp");
    for (const serving of servings) goOnServing(serving, until);
    const orphans = (pod.record.served ?? []).filter(({ service }) => this.#services.get(service)?.open === undefined);
    for (const { port } of orphans.flatMap(({ ports }) => ports)) {
      onItsOwn(() => box.agent.stopServing(port, until)).catch((thrown: unknown) => {
        if (until.aborted || isEnding(pod)) return;
        this.#log.warn({ sandboxId: pod.id, port, err: messageOf(thrown) }, "a port that nobody serves stays");
      });
    }
  }

  #open(pod: Pod, box: Box, since: "made" | "takenUp"): { servings: PortServing[]; until: AbortSignal } {
    const { served = [] } = pod.record;
    const gone = new AbortController();
    if (served.length === 0) return { servings: [], until: gone.signal };
    setMaxListeners(0, gone.signal);
    const opened = served.flatMap(({ service: name, ports }) => {
      const connections = this.#services.get(name)?.open?.(pod, since);
      return connections === undefined ? [] : { name, ports, connections };
    });
    this.#untilGone(box, gone, opened);
    const common = { agent: box.agent, places: new Places(mostConnectionsOfPod), rate: new Rate(burst, perSecond) };
    const servings = opened.flatMap(({ name, ports, connections }) => {
      const log = this.#log.child({ sandboxId: pod.id, service: name });
      return ports.map((port) => ({
        ...{ ...common, log, port, isEnding: () => isEnding(pod) },
        connected: (stream: PortStream, peer: string): void => {
          connections.connected(stream, { pod, port: port.port, peer });
        },
      }));
    });
    return { servings, until: gone.signal };
  }

  #untilGone(box: Box, gone: AbortController, opened: readonly { readonly connections: PodConnections }[]): void {
    const stop = (): void => {
      gone.abort(new RuntimeError("unavailable", "the daemon stops"));
    };
    if (this.#closing.aborted) stop();
    else this.#closing.addEventListener("abort", stop, { once: true });
    void onItsOwn(async () => {
      const { reason } = await box.exited;
      this.#closing.removeEventListener("abort", stop);
      gone.abort(new RuntimeError("unavailable", reason));
      for (const { connections } of opened) connections.ended();
    });
  }
}

/** Its record says so before its Box is told. */
function isEnding({ record }: Pod): boolean {
  return record.end !== undefined;
}

function checkApart(planned: readonly ServedByHost[]): void {
  const owners = new Map<number, string>();
  for (const { service, ports } of planned) {
    for (const { port } of ports) {
      const owner = owners.get(port);
      if (owner !== undefined) {
        throw new RuntimeError("invalidArgument", `${owner} and ${service} both want port ${String(port)} of the pod`);
      }
      owners.set(port, service);
    }
  }
}
