/** The engine, the core and sandboxd behind the one port, in this process: only the clients are others'. */
import { createLogger } from "../../../src/base/log.js";
import { openSandboxPort } from "../../../src/sandboxes/listen/open-port.js";
import { podsOfRuntime } from "../../../src/sandboxes/listen/who/pods-of-node.js";
import { sandboxdProtocols } from "../../../src/sandboxes/sandboxd/sandboxd.js";
import { busybox, busyboxImage } from "../images.js";
import { makeBase, openCore, type TestCore } from "./open-core.js";

export interface SandboxdPort {
  readonly core: TestCore;
  /** "127.0.0.1:40123". */
  readonly address: string;
  /** The same once more: agent-sandbox's client takes no port for both REST and gRPC. */
  readonly second: string;
  close(): Promise<void>;
}

const tomlOf = (mounts: readonly string[]): string => `
[sandboxes]
mounts = ${JSON.stringify(mounts)}
listen = ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0"]
vcpus = 1
memory_mib = 256

[templates.base]
image = "${busyboxImage}"
workdir = "/workspace"
`;

/** `mounts`: directories of the host of which sandboxes may have what is in them. */
export async function openSandboxdPort(mounts: readonly string[] = []): Promise<SandboxdPort> {
  const core = await openCore(await makeBase(), tomlOf(mounts), [await busybox()]);
  const { config, engine, sandboxes } = core;
  const log = createLogger("warn");
  const stopping = new AbortController();
  const { grpc, http } = sandboxdProtocols({ sandboxes, log, stopping: stopping.signal });
  const port = await openSandboxPort({
    ...{ config: config.sandboxPort, log, native: engine.native, figures: engine.metrics.port },
    ...{ pods: podsOfRuntime(engine.sandboxes), health: () => undefined },
    protocolsHttp: http,
    protocolsGrpc: grpc,
  });
  const [url = "", another = ""] = port.urls;
  return {
    core,
    address: url.replace("tcp://", ""),
    second: another.replace("tcp://", ""),
    close: async () => {
      stopping.abort();
      await port.close(1000);
      await core.remove();
    },
  };
}
