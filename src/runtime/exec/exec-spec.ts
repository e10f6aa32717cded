/** A command to run in a container, besides its init. */
export interface ExecSpec {
  /** CRI ExecRequest.cmd, ExecSyncRequest.cmd: program and arguments. */
  readonly args: readonly string[];
  /** CRI ExecRequest.tty. */
  readonly terminal: boolean;
  /** A pipe as stdin, else /dev/null. */
  readonly stdin: boolean;
}

/** One that outlives whoever starts it (`DetachedExecs`). */
export interface DetachedExecSpec extends ExecSpec {
  /** Over the container's own. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute, or relative to the container's; "": that. */
  readonly workingDir: string;
  /** Name, id or "user:group", as the image's /etc/passwd and /etc/group have them; "": the container's. */
  readonly user: string;
  /** Of its terminal, before the program begins; absent: none is set. */
  readonly size?: { readonly columns: number; readonly rows: number };
}

/** Begins the ids of detached execs, which somebody has on record: recovery forgets all others. */
export const keptExecPrefix = "kept-";
