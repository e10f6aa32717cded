import { messageOf } from "../../base/errors.js";
import type { CommandVersion } from "../protocols.js";
import type { CommandEnd } from "../requests.js";

export type CommandOutcome = { readonly end: CommandEnd } | { readonly failure: unknown };

/**
 * What the error channel says at the end; "" for nothing. From version 4 on a JSON Status, always; before, plain text
 * when something went wrong. The exit code is a decimal string and its cause's key is `reason`: clients parse both.
 * Source: cri-streaming pkg/streaming/remotecommand/exec.go, client-go tools/remotecommand/v4.go.
 */
export function statusText(version: CommandVersion, outcome: CommandOutcome): string {
  const status = statusOf(outcome);
  if (version >= 4) return JSON.stringify(status);
  return "message" in status ? status.message : "";
}

function statusOf(outcome: CommandOutcome) {
  if ("failure" in outcome) {
    const message = `Internal error occurred: ${messageOf(outcome.failure)}`;
    return { status: "Failure", reason: "InternalError", code: 500, message };
  }
  if (outcome.end === undefined || outcome.end === 0) return { status: "Success" };
  const code = String(outcome.end);
  return {
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: ${code}`,
    details: { causes: [{ reason: "ExitCode", message: code }] },
  };
}
