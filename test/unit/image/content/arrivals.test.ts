import { expect } from "chai";
import { digest } from "../../../../src/base/ids.js";
import { Arrivals } from "../../../../src/image/content/arrivals.js";

const blob = digest(`sha256:${"a".repeat(64)}`);
const other = digest(`sha256:${"b".repeat(64)}`);

describe("blobs on their way in", () => {
  it("are told to whoever asked before, and to whoever asks meanwhile", async () => {
    const arrivals = new Arrivals();
    const never = new Promise<void>(() => undefined);
    const early = arrivals.next(blob, never);
    const end = arrivals.begin(blob, "/ingest/blob-1");
    const late = arrivals.next(blob, never);
    for (const arrival of await Promise.all([early, late])) expect(arrival?.path).to.equal("/ingest/blob-1");
    end(true);
    expect(await (await early)?.whole).to.equal(true);
  });

  it("are not told once what was asked for has settled, or for another digest", async () => {
    const arrivals = new Arrivals();
    const elsewhere = arrivals.next(other, Promise.resolve());
    const end = arrivals.begin(blob, "/ingest/blob-1");
    end(false);
    expect(await elsewhere).to.equal(undefined);
    expect(await arrivals.next(blob, Promise.reject(new Error("no registry")))).to.equal(undefined);
  });

  it("that fail are followed by the next attempt", async () => {
    const arrivals = new Arrivals();
    const first = arrivals.begin(blob, "/ingest/blob-1");
    const second = arrivals.begin(blob, "/ingest/blob-2");
    first(false); // a late word of the first leaves the second
    expect((await arrivals.next(blob, Promise.resolve()))?.path).to.equal("/ingest/blob-2");
    second(true);
  });
});
