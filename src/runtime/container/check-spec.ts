import { join, normalize } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import type { Image, ImageConfig } from "../../image/image-store.js";
import type { Deps } from "../deps.js";
import { imageVolumesOf, type ImageVolumes } from "../volumes/image-volumes.js";
import type { Pod } from "../pod/pod.js";
import type { ContainerSpec } from "./container-spec.js";

/** A container of which everything is known to be there. */
export interface CheckedContainer {
  readonly sandbox: Pod;
  readonly spec: ContainerSpec;
  readonly image: Image;
  readonly imageConfig: ImageConfig;
  readonly volumes: ImageVolumes;
  /** Absolute; "": no log. */
  readonly logPath: string;
}

/** `pod`: id of the sandbox, or the beginning of it. */
export async function checkContainerSpec(pod: string, spec: ContainerSpec, deps: Deps): Promise<CheckedContainer> {
  const sandbox = readyPod(pod, deps);
  const image = await requiredImage(spec, deps);
  const imageConfig = await deps.images.config(image);
  const volumes = await imageVolumesOf(spec.mounts, deps.images);
  readyPod(pod, deps); // it may have been stopped meanwhile
  return { sandbox, spec, image, imageConfig, volumes, logPath: logPathOf(sandbox, spec) };
}

function readyPod(pod: string, deps: Deps): Pod {
  const sandbox = deps.sandboxes.require(pod);
  if (sandbox.state === "ready") return sandbox;
  const why = sandbox.record.end?.reason ?? "it is being made";
  throw new RuntimeError("failedPrecondition", `sandbox ${shortId(sandbox.id)} is not ready: ${why}`);
}

async function requiredImage({ image: { name } }: ContainerSpec, deps: Deps): Promise<Image> {
  if (name === "") throw new RuntimeError("invalidArgument", "config.image.image is empty", { hint: "name an image" });
  const image = await deps.images.find(name);
  if (image !== undefined) return image;
  throw new RuntimeError("notFound", `image "${name}" is not on this node`, { hint: "pull it first" });
}

/** The pod's log_directory joined with the container's log_path; none when either is empty (pkg/kubelet/kuberuntime/helpers.go). */
function logPathOf(sandbox: Pod, spec: ContainerSpec): string {
  const { logDirectory } = sandbox.spec;
  if (logDirectory === "" || spec.logPath === "") return "";
  const path = join(logDirectory, spec.logPath);
  const inside = path.startsWith(join(logDirectory, "/")) && !path.endsWith("/") && !path.includes("\0");
  if (logDirectory.startsWith("/") && normalize(logDirectory) !== "/" && inside) return path;
  throw new RuntimeError("invalidArgument", `log_path "${spec.logPath}" does not name a file below the log directory`, {
    hint: "log_directory of the sandbox is absolute, log_path of the container relative to it",
  });
}
