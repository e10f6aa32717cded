import type { SetupContext } from "../run.js";
import { goPrograms } from "./go-programs.js";

/** Pins grpcurl, and all that it is built from. */
const grpcurlDirectory = "test/support/grpcurl";
const grpcurlPrograms = { grpcurl: "github.com/fullstorydev/grpcurl/cmd/grpcurl" };

/** Directory with a `grpcurl`; undefined without a Go that can build it: what needs it is skipped then, and says so. */
export async function grpcurl(context: SetupContext): Promise<string | undefined> {
  return await goPrograms(context, "grpcurl", grpcurlDirectory, grpcurlPrograms);
}
