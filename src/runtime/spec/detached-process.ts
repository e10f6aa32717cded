/** What an exec that outlives its starter executes: the container's process, with what is asked for over it. */
import { posix } from "node:path";
import { RuntimeError } from "../../base/errors.js";
import type { DetachedExecSpec } from "../exec/exec-spec.js";
import type { OciProcess, OciUser } from "./oci.js";
import { assignmentOf, refuseNul } from "./process.js";
import { nameOfUser, resolveUser, type UserDatabase } from "./user.js";

/** What it is made from. */
export interface ExecGround {
  /** Of the container's init, as it is now. */
  readonly init: OciProcess;
  /** Names of the environment variables that the container's spec sets: a user's own do not replace them. */
  readonly given: ReadonlySet<string>;
  readonly supplementalGroups: readonly number[];
  readonly database: UserDatabase;
}

/** `invalidArgument` for what can't be one. */
export function detachedProcess(ground: ExecGround, spec: DetachedExecSpec): OciProcess {
  const { init } = ground;
  const [program = ""] = spec.args;
  if (program === "") throw new RuntimeError("invalidArgument", "no program is named");
  for (const [index, arg] of spec.args.entries()) refuseNul(arg, `argument ${index}`);
  refuseNul(spec.workingDir, "the working directory");
  const who = whoIs(ground, spec.user);
  const { size } = spec;
  return {
    ...init,
    args: spec.args,
    terminal: spec.terminal,
    ...(size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } }),
    user: who.oci,
    env: environment(ground, spec, who),
    cwd: posix.resolve(init.cwd, spec.workingDir),
  };
}

interface Who {
  readonly oci: OciUser;
  readonly name: string | undefined;
  /** Absent: the container's own user, whose home is in its environment already. */
  readonly home?: string;
}

function whoIs({ init, supplementalGroups, database }: ExecGround, user: string): Who {
  if (user === "") return { oci: init.user, name: nameOfUser(init.user.uid, database) };
  refuseNul(user, "the user");
  const asked = { user: "", group: "", supplementalGroups, hasGroupsOfImage: true };
  // As the image's USER is written: "user:group".
  const { oci, home, name } = resolveUser(asked, user, database);
  return { oci, name, ...(oci.uid === init.user.uid ? {} : { home }) };
}

/** The container's, then what is the user's where nobody has set it, then what is asked for. */
function environment({ init, given }: ExecGround, spec: DetachedExecSpec, who: Who): string[] {
  const byName = new Map<string, string>();
  for (const assignment of init.env) byName.set(assignment.split("=", 1)[0] ?? "", assignment);
  const put = (name: string, value: string): void => void byName.set(name, `${name}=${value}`);
  if (who.home !== undefined && !given.has("HOME")) put("HOME", who.home);
  for (const name of ["USER", "LOGNAME"]) {
    if (given.has(name)) continue;
    if (who.name !== undefined) put(name, who.name);
    else if (who.home !== undefined) byName.delete(name);
  }
  if (spec.terminal && !byName.has("TERM")) put("TERM", "xterm");
  for (const [name, value] of Object.entries(spec.env)) byName.set(name, assignmentOf({ name, value }));
  return [...byName.values()];
}
