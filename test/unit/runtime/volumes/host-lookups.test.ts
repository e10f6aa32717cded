import { expect } from "chai";
import { codeOf, messageOf, RuntimeError } from "../../../../src/base/errors.js";
import type { HostFile } from "../../../../src/native/addon.js";
import { HostLookups } from "../../../../src/runtime/volumes/host-lookups.js";

const never = new AbortController().signal;
const file: HostFile = { path: "/data", kind: "directory", device: 1n, inode: 2n };

/** Questions that are answered when the test says so. */
function parts(): { lookups: HostLookups; asked: string[]; answer: (path: string) => void } {
  const asked: string[] = [];
  const answers = new Map<string, (file: HostFile) => void>();
  const lookUp = (path: string): Promise<HostFile> => {
    asked.push(path);
    return new Promise((resolve) => answers.set(path, resolve));
  };
  const answer = (path: string): void => answers.get(path)?.(file);
  return { lookups: new HostLookups({ lookUp }), asked, answer };
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "it did not fail",
    (thrown: unknown) => `${codeOf(thrown)} ${messageOf(thrown)}`,
  );
}

describe("questions to file systems of the host", () => {
  it("are one for all who ask for a path that does not answer, and are left by who gives up", async () => {
    const { lookups, asked, answer } = parts();
    const gone = new AbortController();
    const left = failureOf(lookups.lookUp("/dead", gone.signal));
    const stays = lookups.lookUp("/dead", never);
    gone.abort(new RuntimeError("deadlineExceeded", "20 s have passed"));
    expect(await left).to.match(/^unavailable \/dead was asked for \d+ s ago, and its file system does not answer/);
    expect(asked).to.deep.equal(["/dead"]);
    answer("/dead");
    expect(await stays).to.equal(file);
    void lookups.lookUp("/dead", never);
    expect(asked).to.deep.equal(["/dead", "/dead"]);
  });

  it("are so many at most, and the next one is refused with where they wait", async () => {
    const { lookups, answer } = parts();
    for (let index = 0; index < 64; index += 1) void lookups.lookUp(`/dead/${index}`, never);
    expect(await failureOf(lookups.lookUp("/alive", never))).to.match(/^unavailable .* do not answer: \/dead\/0, /);
    answer("/dead/7");
    await new Promise(setImmediate);
    const asked = lookups.lookUp("/alive", never);
    answer("/alive");
    expect(await asked).to.equal(file);
  });
});
