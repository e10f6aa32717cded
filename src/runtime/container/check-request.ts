import { join, normalize } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { ContainerConfig, ContainerMetadata, CreateContainerRequest } from "../../gen/runtime/v1/api.js";
import type { Image, ImageConfig } from "../../image/image-store.js";
import type { Deps } from "../deps.js";
import { imageVolumesOf, type ImageVolumes } from "../volumes/image-volumes.js";
import type { Sandbox } from "../pod/sandbox.js";

/** A CreateContainer request of which everything is known to be there. */
export interface ContainerRequest {
  readonly sandbox: Sandbox;
  readonly config: ContainerConfig;
  readonly metadata: ContainerMetadata;
  readonly image: Image;
  readonly imageConfig: ImageConfig;
  readonly volumes: ImageVolumes;
  /** Absolute; "": no log. */
  readonly logPath: string;
}

export async function checkContainerRequest(request: CreateContainerRequest, deps: Deps): Promise<ContainerRequest> {
  const { config } = request;
  if (config === undefined) throw new RuntimeError("invalidArgument", "config is not set");
  const { metadata } = config;
  if (metadata === undefined || metadata.name === "") {
    throw new RuntimeError("invalidArgument", "config.metadata.name is empty", { hint: "give the container a name" });
  }
  if (request.podSandboxId === "") throw new RuntimeError("invalidArgument", "pod_sandbox_id is empty");
  const sandbox = readySandbox(request, deps);
  const image = await requiredImage(config, deps);
  const imageConfig = await deps.images.config(image);
  const volumes = await imageVolumesOf(config.mounts, deps.images);
  readySandbox(request, deps); // it may have been stopped meanwhile
  return { sandbox, config, metadata, image, imageConfig, volumes, logPath: logPathOf(sandbox, config) };
}

function readySandbox({ podSandboxId }: CreateContainerRequest, deps: Deps): Sandbox {
  const sandbox = deps.sandboxes.require(podSandboxId);
  if (sandbox.state === "ready") return sandbox;
  const why = sandbox.record.end?.reason ?? "it is being made";
  throw new RuntimeError("failedPrecondition", `sandbox ${shortId(sandbox.id)} is not ready: ${why}`);
}

async function requiredImage(config: ContainerConfig, deps: Deps): Promise<Image> {
  const name = config.image?.image ?? "";
  if (name === "") throw new RuntimeError("invalidArgument", "config.image.image is empty", { hint: "name an image" });
  const image = await deps.images.find(name);
  if (image !== undefined) return image;
  throw new RuntimeError("notFound", `image "${name}" is not on this node`, { hint: "pull it first" });
}

/** The pod's log_directory joined with the container's log_path; none when either is empty (kubelet.md 4.2). */
function logPathOf(sandbox: Sandbox, config: ContainerConfig): string {
  const { logDirectory } = sandbox.config;
  if (logDirectory === "" || config.logPath === "") return "";
  const path = join(logDirectory, config.logPath);
  const inside = path.startsWith(join(logDirectory, "/")) && !path.endsWith("/") && !path.includes("\0");
  if (logDirectory.startsWith("/") && normalize(logDirectory) !== "/" && inside) return path;
  throw new RuntimeError(
    "invalidArgument",
    `log_path "${config.logPath}" does not name a file below the log directory`,
    {
      hint: "log_directory of the sandbox is absolute, log_path of the container relative to it",
    },
  );
}
