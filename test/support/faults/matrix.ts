/**
 * Every step of an operation, made to fail, to hang, to have happened and then hear no signal, and to be the last that the
 * daemon does. After each the machine is as it was, and the same request succeeds.
 */
import type { Daemon } from "../daemon.js";
import { expectSameMachine } from "../machine.js";
import { eventually } from "../wait.js";
import type { Fault, FaultDirectory } from "./fault-directory.js";

export interface Operation<Subject> {
  /** What a fresh request is about; of what the request makes there is nothing yet. */
  readonly prepare: () => Promise<Subject>;
  /** Answers when what was asked for is there: `made` by it, or by one before it that nobody heard of. */
  readonly request: (subject: Subject) => Promise<"made" | "existed">;
  /** Takes back what a request has made, and what `prepare` has. */
  readonly takeBack: (subject: Subject) => Promise<void>;
  /** One that broke off goes on where it was when it is repeated, and until then the machine is somewhere between. */
  readonly goesOn: boolean;
}

/** The question whether a Box lives comes when it comes; which programs there are is asked once of each daemon. */
const anyTime = /(agent list sessions|look at programs)$/;

/** What was asked for is there before them: their failure is the log's alone, and the request succeeds. */
const afterwards = /settle CPUs$/;

/** These come also when all has been done. */
const madeIt: ReadonlySet<Fault["kind"]> = new Set(["die", "stick"]);

/** A cell of the matrix that is not as it should be. */
export interface Trouble {
  readonly fault: Fault;
  readonly why: string;
}

/** The places of an operation, seen in one that goes well. */
export async function placesOf<Subject>(operation: Operation<Subject>, faults: FaultDirectory): Promise<string[]> {
  const subject = await operation.prepare();
  await faults.forget();
  await operation.request(subject);
  const places = (await faults.passed()).filter((place) => !anyTime.test(place));
  await operation.takeBack(subject);
  return places;
}

/** Undefined when all is as it should be. */
export async function runCell<Subject>(
  operation: Operation<Subject>,
  fault: Fault,
  faults: FaultDirectory,
  daemon: Daemon,
): Promise<Trouble | undefined> {
  const before = await daemon.machine();
  const subject = await operation.prepare();
  try {
    const prepared = await daemon.machine();
    await faults.arm(fault);
    const failed = await operation.request(subject).then(
      () => undefined,
      (thrown: unknown) => messageOf(thrown),
    );
    if (!faults.spent) throw new Error("the fault did not happen");
    if (fault.kind === "stick") await refusedUntilLetGo(operation, subject, faults);
    if (fault.kind === "die") {
      await daemon.stop("SIGKILL");
      await daemon.launch();
    } else if (afterwards.test(fault.place)) {
      if (failed !== undefined) throw new Error(`the request failed for what comes after it: ${failed}`);
    } else if (!operation.goesOn) {
      if (failed === undefined) throw new Error("the request succeeded though a step failed");
      if (!failed.includes(stepOf(fault))) throw new Error(`the error does not name the step: ${failed}`);
    }
    const left = operation.goesOn
      ? undefined
      : await expectSameMachine(daemon.scope, prepared, 10_000).then(() => undefined, messageOf);
    const answer = await eventually("the same request succeeds", 60_000, () => operation.request(subject));
    const mayBeThere = madeIt.has(fault.kind) || afterwards.test(fault.place);
    if (left !== undefined && !(mayBeThere && answer === "existed")) throw new Error(left);
    await operation.takeBack(subject);
    await expectSameMachine(daemon.scope, before, 10_000);
    return undefined;
  } catch (thrown) {
    await faults.disarm();
    await faults.letGo();
    await operation.takeBack(subject).catch(() => undefined);
    return { fault, why: messageOf(thrown) };
  }
}

/** The step was given up, and holds what it is about: nobody builds over it. */
async function refusedUntilLetGo<Subject>(
  operation: Operation<Subject>,
  subject: Subject,
  faults: FaultDirectory,
): Promise<void> {
  if (!operation.goesOn) {
    const why = await operation.request(subject).catch(messageOf);
    // The last step of all: what was asked for is there.
    if (why !== "existed" && !why.includes("still busy with"))
      throw new Error(`the repeat was not refused for the step that sticks: ${why}`);
  }
  await faults.letGo();
}

/** "begin boot box ID" is about "boot box". */
function stepOf({ place }: Fault): string {
  return place.replace(/^\w+ /, "").replace(/ ?\(?ID\)?.*$/, "");
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
