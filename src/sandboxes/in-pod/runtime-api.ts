/**
 * agent-sandbox's runtime API at ports of a pod that asks for it by an annotation: process.v1 at 9090, `/v1/files` at 8080,
 * with nothing in the pod's image (docs/adr/0113). It acts in the pod's container, with the rights of its user.
 */
import { messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import type { Deps } from "../../runtime/deps.js";
import type { Sandbox } from "../../runtime/pod/sandbox.js";
import type { ConnectionAbout, PodConnections, PodService } from "../../runtime/served-ports/pod-service.js";
import type { Caller } from "../core/caller.js";
import { Health } from "../listen/grpc/health.js";
import { reflection } from "../listen/grpc/reflection.js";
import { HttpEdge } from "../listen/http/edge.js";
import { Refused } from "../listen/refused.js";
import { Tokens } from "../listen/who/tokens.js";
import type { GrpcProtocol } from "../listen/protocol.js";
import { runtimeProtocols } from "../sandboxd/sandboxd.js";
import { runtimePorts, runtimePortsOf } from "./annotation.js";
import { grpcForContainers, httpForContainers } from "./container-name.js";
import { PodGrpc } from "./pod-grpc.js";
import { PodInsides, removeStrayInsides } from "./pod-insides.js";
import { PodSandboxes } from "./pod-sandboxes.js";

const limits = { headersMs: 10_000, bodyIdleMs: 300_000, keepAliveMs: 75_000, lingerMs: 5_000 };

export interface RuntimeApi {
  /** Requests under way may end until `stop` is aborted. */
  close(stop: AbortSignal): Promise<void>;
}

/** Registers the service, which has pods as soon as they are made or taken up. */
export async function openRuntimeApi(engine: Deps, health: () => string | undefined): Promise<RuntimeApi> {
  const log = engine.log.child({ part: "runtime-api" });
  await removeStrayInsides(engine);
  const stopping = new AbortController();
  const sandboxes = new PodSandboxes(engine, log);
  const { grpc, http } = runtimeProtocols({ sandboxes, log, stopping: stopping.signal });
  const protocols = grpc.map(grpcForContainers);
  const healthService = new Health(health, protocols);
  const services = [...protocols, healthService, ...reflection([...protocols, healthService])];
  const rest = restEdge(engine, log, { protocols: http.map(httpForContainers), health });
  engine.servedPorts.register(service({ engine, log, sandboxes, services, rest }));
  return {
    close: async (stop) => {
      stopping.abort();
      healthService.close();
      await rest.close(stop);
      await Promise.all(sandboxes.all().map(({ insides }) => insides.close()));
    },
  };
}

function restEdge(
  { metrics }: Deps,
  log: Logger,
  { protocols, health }: Pick<ConstructorParameters<typeof HttpEdge>[0], "protocols" | "health">,
): HttpEdge {
  const refused = new Refused(log, metrics.port);
  return new HttpEdge({
    ...{ protocols, health, log, limits, figures: metrics.port },
    ...{ rules: { hosts: [], origins: [] }, tokens: new Tokens({}, log), tell: refused.tell.bind(refused) },
  });
}

interface Parts {
  readonly engine: Deps;
  readonly log: Logger;
  readonly sandboxes: PodSandboxes;
  readonly services: readonly GrpcProtocol[];
  readonly rest: HttpEdge;
}

function service(parts: Parts): PodService {
  return {
    name: "runtime-api",
    portsFor: runtimePortsOf,
    open: (pod, since) => connectionsOf(pod, since, parts),
  };
}

function connectionsOf(pod: Sandbox, since: "made" | "takenUp", parts: Parts): PodConnections {
  const { engine, log, sandboxes, services, rest } = parts;
  const insides = new PodInsides(engine, pod.id);
  sandboxes.add({ pod, insides });
  if (since === "takenUp") {
    for (const container of engine.containers.listOf(pod.id))
      if (container.state === "running") insides.of(container, since);
  }
  const name = `network of pod ${pod.spec.namespace}/${pod.spec.name}`;
  let grpc: PodGrpc | undefined;
  return {
    connected: (stream, about) => {
      const caller: Caller = { tenant: pod.id, name: callerName(name, about) };
      if (about.port === runtimePorts.grpc) (grpc ??= new PodGrpc({ tenant: pod.id, name }, services)).take(stream);
      else rest.take({ socket: stream, listener: "tcp", ...known(caller), from: about.peer });
    },
    ended: () => {
      sandboxes.remove(pod.id);
      grpc?.close();
      onItsOwn(() => insides.remove()).catch((thrown: unknown) => {
        log.warn(
          { sandboxId: pod.id, err: messageOf(thrown) },
          "what processes of a pod have left could not be removed",
        );
      });
    },
  };
}

function callerName(name: string, { peer }: ConnectionAbout): string {
  return peer === "" ? name : `${peer} in the ${name}`;
}

function known(caller: Caller): {
  readonly known: { readonly kind: "caller"; readonly caller: Caller };
  readonly open: boolean;
  heard(): void;
} {
  return { known: { kind: "caller", caller }, open: false, heard: () => undefined };
}
