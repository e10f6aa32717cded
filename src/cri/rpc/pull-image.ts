import { RuntimeError } from "../../base/errors.js";
import type { AuthConfig, PullImageRequest, PullImageResponse } from "../../gen/runtime/v1/api.js";
import type { Image, RegistryAuth } from "../../image/image-store.js";
import type { CallContext, Deps } from "../deps.js";
import { requiredImageName } from "../images/image-request.js";

/**
 * CRI PullImage. The answer is the image's id: the same string as in Image.id (pkg/kubelet/images). No limit but the
 * caller's; a pull that stalls ends itself.
 */
export async function pullImage(request: PullImageRequest, call: CallContext, deps: Deps): Promise<PullImageResponse> {
  const name = requiredImageName(request.image);
  checkHandler(request.image?.runtimeHandler ?? "", Object.keys(deps.config.handlers));
  const image = await pull(name, registryAuth(request.auth), call, deps);
  return { imageRef: image.id };
}

/** Images are the same for every handler, but an unknown one is to be rejected (CRI ImageSpec.runtime_handler). */
function checkHandler(handler: string, known: readonly string[]): void {
  if (known.includes(handler)) return;
  throw new RuntimeError("invalidArgument", `image.runtime_handler "${handler}" is unknown`, {
    hint: `known: ${known.map((one) => `"${one}"`).join(", ")}`,
  });
}

/** kubelet reads the reason from the message's prefix, with code Unknown only (pkg/kubelet/images, evalCRIPullErr). */
async function pull(name: string, auth: RegistryAuth | undefined, call: CallContext, deps: Deps): Promise<Image> {
  try {
    return await deps.images.pull(name, auth, call.signal);
  } catch (thrown) {
    if (!(thrown instanceof RuntimeError) || thrown.code !== "unavailable") throw thrown;
    throw new RuntimeError("unknown", `RegistryUnavailable: ${thrown.message}`, { cause: thrown });
  }
}

function registryAuth(auth: AuthConfig | undefined): RegistryAuth | undefined {
  if (auth === undefined) return undefined;
  const { username, password, identityToken, registryToken, serverAddress } = auth;
  return { username, password, auth: auth.auth, identityToken, registryToken, serverAddress };
}
