import { expect } from "chai";
import { codeOf } from "../../../../src/base/errors.js";
import type { FileEvent, Files } from "../../../../src/sandboxes/core/file.js";
import { Watchers, type WatchPlace } from "../../../../src/sandboxes/e2b/filesystem/watchers.js";
import { eventually } from "../../../support/wait.js";

const request = { path: "/", recursive: true, includeEntry: false };
const { signal } = new AbortController();

/** A directory in which so many files come to be, with names that long. */
function changing(count: number, nameLength: number): Pick<Files, "watch"> & { ended: number } {
  const place = {
    ended: 0,
    watch: (_path: string, _scope: unknown, _recursive: boolean, end: AbortSignal): Promise<AsyncIterable<FileEvent>> =>
      Promise.resolve(
        (async function* (): AsyncGenerator<FileEvent> {
          try {
            for (let at = 0; at < count && !end.aborted; at += 1) {
              yield await Promise.resolve({ kind: "create", path: String(at).padStart(nameLength, "x") });
            }
            if (!end.aborted)
              await new Promise((resolve) => {
                end.addEventListener("abort", resolve);
              });
          } finally {
            place.ended += 1;
          }
        })(),
      ),
  };
  return place;
}

describe("watches that are asked for what they have seen", function () {
  this.timeout(20_000);

  let watchers: Watchers;
  beforeEach(() => {
    watchers = new Watchers();
  });
  afterEach(() => {
    watchers.close();
  });

  const watched = async (files: Pick<Files, "watch">): Promise<string> => {
    const place: Pick<WatchPlace, "sandbox" | "user"> & { files: Pick<Files, "watch"> } = {
      ...{ sandbox: "one", user: "", files },
    };
    return await watchers.create(place as WatchPlace, request, signal);
  };

  it("give each event once", async () => {
    const id = await watched(changing(3, 1));
    const seen: string[] = [];
    await eventually("three events", 2_000, () => {
      seen.push(...watchers.take("one", id).map(({ name }) => name));
      return seen.length === 3 ? true : undefined;
    });
    expect(seen).to.deep.equal(["0", "1", "2"]);
  });

  it("hold so many bytes of a sandbox, however many there are", async () => {
    const first = await watched(changing(3000, 4000));
    const files = changing(3000, 4000);
    const second = await watched(files);
    await eventually("the second's end", 5_000, () => (files.ended === 1 ? true : undefined));
    expect(watchers.take("one", first).length + watchers.take("one", second).length).to.be.within(3000, 4200);
    const third = await watched(changing(3, 1));
    await eventually("events again", 2_000, () => (watchers.take("one", third).length > 0 ? true : undefined));
  });

  it("say that they have missed some, and hold no more than so many, and so many bytes", async () => {
    for (const [count, nameLength, most] of [
      [20_000, 5, 10_000],
      [20_000, 4000, 4200],
    ] as const) {
      const files = changing(count, nameLength);
      const id = await watched(files);
      await eventually("the watch's end", 5_000, () => (files.ended === 1 ? true : undefined));
      expect(watchers.take("one", id).length).to.be.within(1, most);
      let code: string | undefined;
      try {
        watchers.take("one", id);
      } catch (thrown) {
        code = codeOf(thrown);
      }
      expect(code).to.equal("resourceExhausted");
      watchers.remove("one", id);
    }
  });
});
