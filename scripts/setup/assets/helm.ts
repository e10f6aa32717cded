import type { SetupContext } from "../run.js";
import { goPrograms } from "./go-programs.js";

const programs = { helm: "helm.sh/helm/v4/cmd/helm" };

/** Directory with a `helm`, for the tests of the chart; undefined without a Go that can build it. */
export async function helm(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "helm", "scripts/setup/helm", programs, { env: { CGO_ENABLED: "0" } });
}
