import { acpProtocol } from "../acp/acp-protocol.js";
import type { GrpcProtocol, HttpProtocol } from "../listen/protocol.js";
import { fileService } from "./grpc/files.js";
import { portService } from "./grpc/ports.js";
import { processService } from "./grpc/processes.js";
import { processV1 } from "./grpc/process-v1.js";
import { sandboxService } from "./grpc/sandboxes.js";
import { controlProtocol } from "./http/control.js";
import { filesProtocol } from "./http/files.js";
import { infoProtocol } from "./http/info.js";
import { legacyProtocol } from "./http/legacy.js";
import type { SandboxdParts } from "./parts.js";

export interface SandboxdProtocols {
  readonly grpc: readonly GrpcProtocol[];
  readonly http: readonly HttpProtocol[];
}

/** What a sandbox of agent-sandbox has at its own ports: the runtime API (KEP-539.2), and the one that was before it. */
export function runtimeProtocols(parts: SandboxdParts): SandboxdProtocols {
  return {
    grpc: [processV1(parts)],
    http: [infoProtocol, filesProtocol, legacyProtocol].map((make) => make(parts)),
  };
}

/** agent-sandbox's runtime API (KEP-539.2) and our own control service beside it, for the one port (docs/adr/0109). */
export function sandboxdProtocols(parts: SandboxdParts): SandboxdProtocols {
  return {
    grpc: [processV1, sandboxService, processService, fileService, portService].map((make) => make(parts)),
    http: [infoProtocol, filesProtocol, acpProtocol, controlProtocol, legacyProtocol].map((make) => make(parts)),
  };
}
