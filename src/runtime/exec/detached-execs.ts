import { codeOf, messageOf, RuntimeError } from "../../base/errors.js";
import type { Box } from "../../vmm/box.js";
import type { Container } from "../container/container.js";
import type { Deps } from "../deps.js";
import { detachedProcess, type ExecGround } from "../spec/detached-process.js";
import type { UserDatabase } from "../spec/user.js";
import { processOf, requireRunning } from "./exec-process.js";
import type { DetachedExecSpec } from "./exec-spec.js";

/**
 * Execs of one container that outlive whoever starts them, and the daemon: `withExec` kills its own. Their ids begin with
 * `keptExecPrefix`, and recovery leaves them to who has them on record.
 */
export interface DetachedExecs {
  /** The container's id, by which the agent knows it. */
  readonly sessionId: string;
  /** `failedPrecondition` when the container does not run, or its Box is gone. Waits for recovery. */
  box(signal: AbortSignal): Promise<Box>;
  /**
   * Resolves when the program is executed. `notFound`: there is none such; `invalidArgument`: no such user or directory, or
   * it can't be executed; `resourceExhausted`: the guest has too many. Whoever gives up, or gets any other error, forgets the exec: it may run.
   */
  start(box: Box, execId: string, spec: DetachedExecSpec, signal: AbortSignal): Promise<void>;
}

/** Of a container of the engine. What its image says of users is read once. */
export function detachedExecsOf(container: Container, deps: Pick<Deps, "sandboxes" | "images">): DetachedExecs {
  let database: Promise<UserDatabase> | undefined;
  const read = async (): Promise<UserDatabase> => {
    database ??= userDatabase(container, deps);
    try {
      return await database;
    } catch (thrown) {
      database = undefined;
      throw thrown;
    }
  };
  return detachedExecsIn(
    container.id,
    async (signal) => {
      const box = await deps.sandboxes.require(container.sandboxId).liveBox(signal);
      requireRunning(container);
      return box;
    },
    async () => ({
      init: processOf(container),
      given: new Set(container.spec.env.map(({ name }) => name)),
      supplementalGroups: container.spec.security.user.supplementalGroups,
      database: await read(),
    }),
  );
}

export function detachedExecsIn(
  sessionId: string,
  box: (signal: AbortSignal) => Promise<Box>,
  ground: () => Promise<ExecGround>,
): DetachedExecs {
  return {
    sessionId,
    box,
    start: async ({ agent }, execId, spec, signal) => {
      const ociProcess = Buffer.from(JSON.stringify(detachedProcess(await ground(), spec)));
      try {
        await agent.startExec({ sessionId, execId, ociProcess, stdin: spec.stdin || spec.terminal }, signal);
      } catch (thrown) {
        throw explained(thrown);
      }
    },
  };
}

/** As the agent words them (`runtime/own` of the guest, and runc): a session that is not there is no missing program. */
function explained(thrown: unknown): unknown {
  const [code, message] = [codeOf(thrown), messageOf(thrown)];
  if (code === "notFound" && !message.includes("executable file not found")) {
    return new RuntimeError("failedPrecondition", message, { cause: thrown });
  }
  if (code === "failedPrecondition" && /\bthere are \d+ execs already\b/.test(message)) {
    return new RuntimeError("resourceExhausted", message, { cause: thrown });
  }
  if (code === "internal" && /\bchdir to\b/.test(message)) {
    return new RuntimeError("invalidArgument", message, {
      hint: "the working directory must be there",
      cause: thrown,
    });
  }
  return thrown;
}

async function userDatabase({ record }: Container, { images }: Pick<Deps, "images">): Promise<UserDatabase> {
  const image = await images.find(record.image.id);
  if (image === undefined) return { passwd: "", group: "" };
  const [passwd, group] = await Promise.all([
    images.readFile(image, "/etc/passwd"),
    images.readFile(image, "/etc/group"),
  ]);
  return { passwd: passwd?.toString("utf8") ?? "", group: group?.toString("utf8") ?? "" };
}
