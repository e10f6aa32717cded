/** A command to run in a container, besides its init. */
export interface ExecSpec {
  /** CRI ExecRequest.cmd, ExecSyncRequest.cmd: program and arguments. */
  readonly args: readonly string[];
  /** CRI ExecRequest.tty. */
  readonly terminal: boolean;
  /** A pipe as stdin, else /dev/null. */
  readonly stdin: boolean;
}
