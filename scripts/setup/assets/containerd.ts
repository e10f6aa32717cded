import type { SetupContext } from "../run.js";
import { goPrograms } from "./go-programs.js";

export const containerdVersion = "2.4.2";

const module = "github.com/containerd/containerd/v2";
const programs = {
  containerd: `${module}/cmd/containerd`,
  "containerd-shim-runc-v2": `${module}/cmd/containerd-shim-runc-v2`,
};

/** Directory with a `runc` that maps the owners of mounts, which that of Debian 12 does not: pods of user namespaces need it. */
export async function mappingRunc(context: SetupContext): Promise<string | undefined> {
  const runc = { runc: "github.com/opencontainers/runc" };
  return await goPrograms(context, "runc", "scripts/setup/runc", runc, { env: { GOFLAGS: "-tags=seccomp" } });
}

/** Directory with `containerd` and its shim, which benches and tests put beside this runtime; undefined without a Go for it. */
export async function containerdPrograms(context: SetupContext): Promise<string | undefined> {
  const linkerFlags = `-X ${module}/version.Version=${containerdVersion}`;
  const options = { linkerFlags, env: { CGO_ENABLED: "0" } };
  return await goPrograms(context, "containerd", "scripts/setup/containerd", programs, options);
}
