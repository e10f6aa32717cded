import type { Image } from "../../image/image-store.js";
import type { ImageStatusRequest, ImageStatusResponse } from "../../gen/runtime/v1/api.js";
import type { CallContext, Deps } from "../deps.js";
import { requiredImageName } from "../images/image-request.js";
import { criImage } from "../images/cri-image.js";

/**
 * CRI ImageStatus. An image that is not there is an answer without image, not `notFound`: kubelet would otherwise never
 * pull it (pkg/kubelet/kuberuntime/kuberuntime_image.go).
 */
export async function imageStatus(
  request: ImageStatusRequest,
  _call: CallContext,
  deps: Deps,
): Promise<ImageStatusResponse> {
  const image = await deps.images.find(requiredImageName(request.image));
  if (image === undefined) return { image: undefined, info: {} };
  return { image: criImage(image), info: request.verbose ? { info: await verboseInfo(image, deps) } : {} };
}

/** The members that containerd's has, for tools that read them: the upmost ChainID ("" without layers), the whole config. */
async function verboseInfo(image: Image, deps: Deps): Promise<string> {
  const imageSpec: unknown = JSON.parse(await deps.images.readConfig(image));
  return JSON.stringify({ chainID: image.chainIds.at(-1) ?? "", imageSpec });
}
