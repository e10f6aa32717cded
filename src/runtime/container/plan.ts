/** The process of a container to be made, decided before anything of it is there. */
import { RuntimeError } from "../../base/errors.js";
import { shortId, type ContainerId } from "../../base/ids.js";
import type { Image } from "../../image/image-store.js";
import type { Box } from "../../vmm/box.js";
import type { Deps } from "../deps.js";
import { podHostname } from "../pod/pod-files.js";
import { userNamespaceOf } from "../pod/user-namespace.js";
import { planSpec, type SpecPlan } from "../spec/build-spec.js";
import type { UserDatabase } from "../spec/user.js";
import { hugePageFacts } from "../volumes/huge-pages.js";
import type { CheckedContainer } from "./check-spec.js";

export async function planOf(
  id: ContainerId,
  request: CheckedContainer,
  box: Box,
  deps: Deps,
  signal: AbortSignal,
): Promise<SpecPlan> {
  const { spec, sandbox, image, imageConfig } = request;
  return planSpec({
    id,
    spec: await deps.containers.apparmor.completed(spec, box, signal),
    image: imageConfig,
    database: await userDatabase(image, deps),
    sandbox: {
      hostname: podHostname(sandbox.id, sandbox.spec),
      privileged: sandbox.spec.privileged,
      userns: userNamespaceOf(sandbox.spec),
      environment: deps.servedPorts.environmentOf(sandbox),
    },
    targetPid: await targetPid(request, box, deps, signal),
    rules: await sandbox.boundary.specRules(spec, sandbox.spec, hugePageFacts(box, signal)),
  });
}

async function userDatabase(image: Image, deps: Deps): Promise<UserDatabase> {
  const [passwd, group] = await Promise.all([
    deps.images.readFile(image, "/etc/passwd"),
    deps.images.readFile(image, "/etc/group"),
  ]);
  return { passwd: passwd?.toString("utf8") ?? "", group: group?.toString("utf8") ?? "" };
}

/** Init of the container that `target_id` names, as the guest numbers it; undefined when none is wanted. */
async function targetPid(
  { spec, sandbox }: CheckedContainer,
  box: Box,
  deps: Deps,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { pid, targetId } = spec.security.namespaces;
  if (pid !== "target") return undefined;
  const target = deps.containers.require(targetId);
  if (target.sandboxId !== sandbox.id) {
    throw new RuntimeError("invalidArgument", `target container ${shortId(target.id)} is in another sandbox`);
  }
  if (target.state !== "running") {
    throw new RuntimeError("failedPrecondition", `target container ${shortId(target.id)} is not running`);
  }
  const sessions = await box.agent.listSessions(signal);
  return sessions.find(({ sessionId }) => sessionId === target.id)?.pid;
}
