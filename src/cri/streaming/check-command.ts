import { RuntimeError } from "../../base/errors.js";

/** Which of its streams a client wants: members of CRI ExecRequest and AttachRequest. */
export interface WantedStreams {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** `invalidArgument` for what no client can mean. Source: cri-streaming pkg/streaming/server.go, validateExecRequest. */
export function checkCommand(containerId: string, wanted: WantedStreams): void {
  if (containerId === "") throw new RuntimeError("invalidArgument", "container_id is empty");
  if (wanted.tty && wanted.stderr) {
    throw new RuntimeError("invalidArgument", "tty and stderr cannot both be true", {
      hint: "a terminal has one output",
    });
  }
  if (!wanted.stdin && !wanted.stdout && !wanted.stderr) {
    throw new RuntimeError("invalidArgument", "one of stdin, stdout and stderr must be set");
  }
}
