import type { OciSpec } from "../spec/oci.js";
import type { ContainerRecord } from "./container-record.js";

/** Of a spec's JSON: an image and a client decide how long it is, and each verbose answer has it. */
export const maxSpecBytes = 512 * 1024;

/**
 * The OCI spec for the record (docs/adr/0095): without its process, which the record has, and without the seccomp filter,
 * whose profile the container's spec names. Nothing when it is larger than anybody reads.
 */
export function recordedSpec({ process: _process, linux, ...spec }: OciSpec): Pick<ContainerRecord, "ociSpec"> {
  const { seccomp: _seccomp, ...rest } = linux;
  const text = JSON.stringify({ ...spec, linux: rest });
  return Buffer.byteLength(text) > maxSpecBytes ? {} : { ociSpec: text };
}
