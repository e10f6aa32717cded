/**
 * agent-sandbox's runtime API at ports of a pod that asks for it by an annotation: process.v1 at 9090, `/v1/files` at 8080,
 * with nothing in the pod's image (docs/adr/0113). It acts in the pod's container, with the rights of its user.
 */
import { messageOf } from "../../base/errors.js";
import { onItsOwn } from "../../base/hold.js";
import type { Logger } from "../../base/log.js";
import type { Deps } from "../../runtime/deps.js";
import type { Pod } from "../../runtime/pod/pod.js";
import type { ConnectionAbout, PodConnections, PodService } from "../../runtime/served-ports/pod-service.js";
import type { Caller } from "../core/caller.js";
import type { Connection } from "../listen/connection.js";
import { Health } from "../listen/grpc/health.js";
import { reflection } from "../listen/grpc/reflection.js";
import { HttpEdge, type HttpParts } from "../listen/http/edge.js";
import type { HttpLimits } from "../listen/options.js";
import { Refused } from "../listen/refused.js";
import type { Known } from "../listen/who/known.js";
import { Tokens } from "../listen/who/tokens.js";
import type { GrpcProtocol } from "../listen/protocol.js";
import { runtimeProtocols } from "../sandboxd/sandboxd.js";
import { runtimeApi, runtimePorts, runtimePortsOf, runtimeTokenOf } from "./annotation.js";
import { grpcForContainers, httpForContainers } from "./container-name.js";
import { PodGrpc } from "./pod-grpc.js";
import { PodInsides } from "./pod-insides.js";
import { PodSandboxes } from "./pod-sandboxes.js";
import { PodToken } from "./pod-token.js";

const limits: HttpLimits = {
  ...{ headersMs: 10_000, bodyIdleMs: 300_000, readerIdleMs: 300_000 },
  ...{ keepAliveMs: 75_000, lingerMs: 5_000 },
};

export interface RuntimeApi {
  /** Requests under way may end until `stop` is aborted. */
  close(stop: AbortSignal): Promise<void>;
}

/** Registers the service. */
export function serveRuntimeApi(engine: Deps, health: () => string | undefined): RuntimeApi {
  const log = engine.log.child({ part: "runtime-api" });
  const stopping = new AbortController();
  const sandboxes = new PodSandboxes(engine, log);
  const { grpc, http } = runtimeProtocols({ sandboxes, log, stopping: stopping.signal });
  const protocols = grpc.map(grpcForContainers);
  const healthService = new Health(health, protocols);
  const services = [...protocols, healthService, ...reflection([...protocols, healthService])];
  const refused = new Refused(log, engine.metrics.port);
  const tell = refused.tell.bind(refused);
  const rest = restEdge(engine, log, { protocols: http.map(httpForContainers), health, tell });
  engine.servedPorts.register(service({ engine, log, sandboxes, services, rest, tell }));
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
  { protocols, health, tell }: Pick<HttpParts, "protocols" | "health" | "tell">,
): HttpEdge {
  return new HttpEdge({
    ...{ protocols, health, log, limits, figures: metrics.port },
    ...{ rules: { hosts: [], origins: [] }, tokens: new Tokens({}, log), tell },
  });
}

interface Parts {
  readonly engine: Deps;
  readonly log: Logger;
  readonly sandboxes: PodSandboxes;
  readonly services: readonly GrpcProtocol[];
  readonly rest: HttpEdge;
  readonly tell: HttpParts["tell"];
}

function service(parts: Parts): PodService {
  return {
    name: runtimeApi,
    portsFor: runtimePortsOf,
    open: (pod, since) => connectionsOf(pod, since, parts),
  };
}

function connectionsOf(pod: Pod, since: "made" | "takenUp", parts: Parts): PodConnections {
  const { engine, log, sandboxes, services, rest, tell } = parts;
  const insides = new PodInsides(engine, pod.id);
  sandboxes.add({ pod, insides });
  if (since === "takenUp") {
    for (const container of engine.containers.listOf(pod.id))
      if (container.state === "running") insides.of(container, since);
  }
  const name = `network of pod ${pod.spec.namespace}/${pod.spec.name}`;
  const digest = runtimeTokenOf(pod.spec);
  const tokenOf = (caller: Caller): PodToken | undefined =>
    digest === undefined ? undefined : new PodToken(digest, caller);
  let grpc: PodGrpc | undefined;
  const openGrpc = (): PodGrpc => {
    const caller = { tenant: pod.id, name };
    const token = tokenOf(caller);
    const refused = (why: string): void => {
      tell("token", name, why);
    };
    return new PodGrpc(caller, services, token === undefined ? undefined : { token, tell: refused });
  };
  return {
    connected: (stream, about) => {
      const caller: Caller = { tenant: pod.id, name: callerName(name, about) };
      if (about.port === runtimePorts.grpc) (grpc ??= openGrpc()).take(stream);
      else rest.take({ socket: stream, listener: "tcp", ...known(caller, tokenOf(caller)), from: about.peer });
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

function known(caller: Caller, owners: PodToken | undefined): Pick<Connection, "known" | "open" | "heard"> {
  const isKnown: Known = owners === undefined ? { kind: "caller", caller } : { kind: "token", owners };
  return { known: isKnown, open: false, heard: () => undefined };
}
