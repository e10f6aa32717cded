import { RuntimeError } from "../../base/errors.js";
import { MountPropagation, type ImageSpec as CriImageSpec, type Mount } from "../../gen/runtime/v1/api.js";
import type { ImageSpec, MountPropagation as Propagation, MountSpec } from "../../runtime/container/container-spec.js";
import { nameOf } from "./names.js";
import { idMappingsOf } from "./namespaces.js";

const propagations: Readonly<Record<Propagation, MountPropagation>> = {
  private: MountPropagation.PROPAGATION_PRIVATE,
  hostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

export function mountSpecOf(mount: Mount, index: number): MountSpec {
  return {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readonly,
    recursiveReadonly: mount.recursiveReadOnly,
    propagation: propagationOf(mount.propagation, `mounts[${index}].propagation`),
    options: mount.mountOptions,
    ...(mount.image === undefined ? {} : { image: imageSpecOf(mount.image) }),
    imageSubPath: mount.imageSubPath,
    uidMappings: idMappingsOf(mount.uidMappings),
    gidMappings: idMappingsOf(mount.gidMappings),
    selinuxRelabel: mount.selinuxRelabel,
  };
}

/** As it was asked for. */
export function criMount(spec: MountSpec): Mount {
  return {
    containerPath: spec.containerPath,
    hostPath: spec.hostPath,
    readonly: spec.readonly,
    selinuxRelabel: spec.selinuxRelabel,
    propagation: propagations[spec.propagation],
    uidMappings: [...spec.uidMappings],
    gidMappings: [...spec.gidMappings],
    recursiveReadOnly: spec.recursiveReadonly,
    image: spec.image && criImageSpec(spec.image),
    imageSubPath: spec.imageSubPath,
    mountOptions: [...spec.options],
  };
}

export function imageSpecOf(image: CriImageSpec): ImageSpec {
  return {
    name: image.image,
    annotations: image.annotations,
    userSpecified: image.userSpecifiedImage,
    handler: image.runtimeHandler,
    reference: image.imageRef,
  };
}

export function criImageSpec({ name, annotations, userSpecified, handler, reference }: ImageSpec): CriImageSpec {
  return {
    image: name,
    annotations: { ...annotations },
    userSpecifiedImage: userSpecified,
    runtimeHandler: handler,
    imageRef: reference,
  };
}

function propagationOf(value: MountPropagation, field: string): Propagation {
  const name = nameOf(propagations, value);
  if (name === undefined) throw new RuntimeError("invalidArgument", `${field} ${String(value)} does not exist`);
  return name;
}
