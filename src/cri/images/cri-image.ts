import type { Image as CriImage } from "../../gen/runtime/v1/api.js";
import type { Image } from "../../image/image-store.js";

/** CRI Image. Id, size and the image's user are what kubelet reads (pkg/kubelet/kuberuntime/kuberuntime_image.go). */
export function criImage(image: Image): CriImage {
  return {
    id: image.id,
    repoTags: [...image.repoTags],
    repoDigests: [...image.repoDigests],
    size: image.sizeBytes,
    ...imageUser(image.user),
    spec: { image: image.id, annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" },
    pinned: image.pinned,
  };
}

/**
 * `uid` or `username`, never both, from the image's USER without its group; neither means root
 * (pkg/kubelet/kuberuntime/security_context.go).
 */
export function imageUser(user: string): Pick<CriImage, "uid" | "username"> {
  const [name = ""] = user.split(":");
  if (/^\d{1,10}$/.test(name)) return { uid: { value: BigInt(name) }, username: "" };
  return { uid: undefined, username: name };
}
