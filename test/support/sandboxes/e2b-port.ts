/** The engine, the core and E2B's protocol behind the one port, in this process: only the clients are others'. */
import { createLogger } from "../../../src/base/log.js";
import { e2b } from "../../../src/sandboxes/e2b/e2b.js";
import { openSandboxPort } from "../../../src/sandboxes/listen/open-port.js";
import { podsOfRuntime } from "../../../src/sandboxes/listen/who/pods-of-node.js";
import { busybox } from "../images.js";
import { agentImage, agentImageName, kernelCommand } from "./agent-image.js";
import { makeBase, openCore, type TestCore } from "./open-core.js";

export interface E2bPort {
  readonly core: TestCore;
  /** For `E2B_API_URL` and `E2B_SANDBOX_URL`. */
  readonly url: string;
  close(): Promise<void>;
}

/** In debug mode clients know these two and no other. */
const debugPorts = [49_983, 49_999];

const kernel = JSON.stringify(kernelCommand);
const toml = `
[sandboxes]
listen = ["tcp://127.0.0.1:0", "tcp://127.0.0.1:49983", "tcp://127.0.0.1:49999"]
images = ["localhost/test/*"]
vcpus = 1
memory_mib = 512

[templates.base]
image = "${agentImageName}"
start_command = ${kernel}

[templates.code-interpreter-v1]
image = "${agentImageName}"
start_command = ${kernel}

[templates.no-bash]
image = "localhost/test/busybox:1"
memory_mib = 256
start_command = ["sh", "-c", "echo begun; echo wrong >&2; exec sleep 100000"]
`;

export async function openE2bPort(): Promise<E2bPort> {
  const core = await openCore(await makeBase(), toml, [await agentImage(), await busybox()]);
  const { config, engine, sandboxes } = core;
  const log = createLogger("warn");
  const edge = e2b({
    sandboxes,
    log,
    templates: Object.keys(config.sandboxes.templates),
    debugSandbox: { template: "base", ports: debugPorts },
  });
  const port = await openSandboxPort({
    ...{ config: config.sandboxPort, log, native: engine.native, figures: engine.metrics.port },
    ...{ pods: podsOfRuntime(engine.sandboxes), health: () => undefined },
    protocolsHttp: edge.protocols,
    protocolsGrpc: [],
  }).catch(async (thrown: unknown) => {
    await core.remove();
    throw thrown;
  });
  const [url = ""] = port.urls;
  return {
    core,
    url: url.replace("tcp:", "http:"),
    close: async () => {
      edge.close();
      await port.close(0);
      await core.remove();
    },
  };
}
