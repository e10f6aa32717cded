import { RuntimeError } from "../../base/errors.js";
import { SandboxServiceService as service, type Sandbox } from "../../gen/sandboxes/v1/sandboxes.js";
import type { Edge } from "./connect.js";

/** The metadata by which people name their sandboxes: `run --name`. */
export const nameKey = "name";

/** All of the caller's. */
export async function allSandboxes(edge: Edge): Promise<Sandbox[]> {
  const all: Sandbox[] = [];
  let pageToken = "";
  do {
    const request = { metadata: {}, states: [], template: "", startedAfter: undefined, pageSize: 0, pageToken };
    const page = await edge.call(service.listSandboxes, request);
    all.push(...page.sandboxes);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return all;
}

/** By its id, the beginning of it, or the name that `run --name` gave it. */
export async function findSandbox(edge: Edge, said: string): Promise<Sandbox> {
  const all = await allSandboxes(edge);
  const exact = all.filter(({ id, metadata }) => id === said || metadata[nameKey] === said);
  const meant = exact.length > 0 ? exact : all.filter(({ id }) => said !== "" && id.startsWith(said));
  const [one, more] = meant;
  if (one === undefined) {
    throw new RuntimeError("notFound", `no sandbox "${said}"`, { hint: "`a3s-box ps` lists them" });
  }
  if (more !== undefined) {
    throw new RuntimeError("invalidArgument", `"${said}" may be any of ${String(meant.length)} sandboxes`, {
      hint: "say more of the id",
    });
  }
  return one;
}
