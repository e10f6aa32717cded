import { expect } from "chai";
import { digest } from "../../../../src/base/ids.js";
import { PullProgress } from "../../../../src/cli/image/progress.js";

const layer = (letter: string, sizeBytes: number) => ({ digest: digest(`sha256:${letter.repeat(64)}`), sizeBytes });

function drawn(isTTY: boolean): { progress: PullProgress; text: () => string } {
  let text = "";
  const progress = new PullProgress({ isTTY, write: (more) => (text += more) });
  return { progress, text: () => text };
}

describe("the progress of a pull", () => {
  const [a, b] = [layer("a", 2 * 1024 * 1024), layer("b", 1024 * 1024)];

  it("is a bar per layer on a terminal, drawn over the last one", () => {
    const { progress, text } = drawn(true);
    progress.draw();
    progress.planned([a, b]);
    progress.received(a.digest, 1024 * 1024);
    progress.received(b.digest, 1024 * 1024);
    progress.draw();
    const first = text();
    expect(first).to.include("aaaaaaaaaaaa [===============>              ] 1.0 MiB of 2.0 MiB\n");
    expect(first).to.include(`bbbbbbbbbbbb [${"=".repeat(30)}] unpacking\n`);
    progress.end();
    expect(text().slice(first.length)).to.match(/^\u001b\[2A.*aaaaaaaaaaaa \[=+\] done\n.*done\n$/s);
  });

  it("is a line for each layer that came elsewhere, each once", () => {
    const { progress, text } = drawn(false);
    progress.planned([a, b]);
    progress.received(b.digest, 1024 * 1024);
    progress.draw();
    progress.draw();
    progress.end();
    expect(text()).to.equal("2 layers, 3.0 MiB\nbbbbbbbbbbbb downloaded, 1.0 MiB\n");
  });
});
