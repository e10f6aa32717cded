import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { exitStatusOf } from "../../../sdk/typescript/src/commands/exit.js";
import { Deadline } from "../../../sdk/typescript/src/deadline.js";
import * as errors from "../../../sdk/typescript/src/errors.js";
import { explained } from "../../../sdk/typescript/src/explain.js";
import { WireError } from "../../../sdk/typescript/src/wire/wire.js";
import { eventually } from "../../support/wait.js";

describe("the SDK's errors", () => {
  it("have a class and a code for each status, and say the step, the sandbox and the words", () => {
    const cases = [
      [status.INVALID_ARGUMENT, errors.InvalidArgumentError, "invalid_argument"],
      [status.ALREADY_EXISTS, errors.AlreadyExistsError, "already_exists"],
      [status.FAILED_PRECONDITION, errors.FailedPreconditionError, "failed_precondition"],
      [status.RESOURCE_EXHAUSTED, errors.QuotaError, "resource_exhausted"],
      [status.PERMISSION_DENIED, errors.PermissionDeniedError, "permission_denied"],
      [status.UNAUTHENTICATED, errors.AuthenticationError, "unauthenticated"],
      [status.UNIMPLEMENTED, errors.UnimplementedError, "unimplemented"],
      [status.UNAVAILABLE, errors.UnavailableError, "unavailable"],
      [status.DEADLINE_EXCEEDED, errors.TimeoutError, "deadline_exceeded"],
      [status.INTERNAL, errors.SandboxError, "internal"],
    ] as const;
    for (const [number, kind, code] of cases) {
      const wire = new WireError(number, "words (what to do)", false);
      const error = explained(wire, "process", { stage: "commands.run", sandboxId: "box" });
      expect(error.constructor, code).to.equal(kind);
      expect(error).to.include({ code, name: kind.name, stage: "commands.run", sandboxId: "box", cause: wire });
      expect(error.message).to.equal("commands.run [sandbox box]: words (what to do)");
    }
  });

  it("name what is not found, and the disk that is full, by what the call was about", () => {
    const missing = new WireError(status.NOT_FOUND, "none", false);
    expect(explained(missing, "file", {})).to.be.instanceOf(errors.FileNotFoundError);
    expect(explained(missing, "process", {})).to.be.instanceOf(errors.ProcessNotFoundError);
    expect(explained(missing, "sandbox", {}))
      .to.be.instanceOf(errors.SandboxNotFoundError)
      .and.instanceOf(errors.NotFoundError)
      .with.property("code", "not_found");
    const full = new WireError(status.RESOURCE_EXHAUSTED, "full", false);
    expect(explained(full, "file", {})).to.be.instanceOf(errors.NotEnoughSpaceError);
    expect(explained(full, "sandbox", {})).to.be.instanceOf(errors.RateLimitError);
  });

  it("tell an exit as E2B's clients are told it", () => {
    expect(exitStatusOf({ code: 0, signal: 0 })).to.deep.equal({ exitCode: 0 });
    expect(exitStatusOf({ code: 3, signal: 0 })).to.deep.equal({ exitCode: 3, error: "exit status 3" });
    expect(exitStatusOf({ code: 137, signal: 9 })).to.deep.equal({ exitCode: -1, error: "signal: killed", signal: 9 });
    expect(exitStatusOf({ code: 178, signal: 50 }).error).to.equal("signal: signal 50");
  });

  it("come at the end of a time, or with the signal's reason; no time passes while it is paused", async () => {
    const paused = new Deadline(1, undefined, {});
    paused.pause();
    const soon = new Deadline(2, undefined, { stage: "files.read", sandboxId: "box" });
    await eventually("its time is over", 5_000, () => (soon.signal.aborted ? true : undefined));
    expect(soon.signal.reason).to.be.instanceOf(errors.TimeoutError).with.property("stage", "files.read");
    expect(paused.signal.aborted).to.equal(false);
    const outer = new AbortController();
    const given = new Deadline(0, outer.signal, {});
    outer.abort("why");
    expect(given.signal.reason).to.equal("why");
    expect(new Deadline(0, outer.signal, {}).signal.aborted).to.equal(true);
  });
});
