import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { createLogger } from "../../../src/base/log.js";
import { watchDescriptors } from "../../../src/vmm/watch-descriptors.js";

/** A process that may have 40 files open, and has this many besides its standard ones. */
async function server(files: number): Promise<ChildProcess> {
  const opened = Array.from({ length: files }, (_, index) => `${index + 3}</dev/null`).join(" ");
  const child = spawn("bash", ["-c", `ulimit -n 40; exec ${opened}; echo ready; exec sleep 60`], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(child.stdout, "data");
  return child;
}

describe("watchDescriptors", () => {
  const watched = async (files: number, waitMs: number): Promise<number> => {
    const child = await server(files);
    const over = new AbortController();
    let calls = 0;
    const called = new Promise<void>((resolve) => {
      const agent = {
        dropCaches: () => {
          calls += 1;
          resolve();
          return Promise.resolve();
        },
        awake: () => Promise.resolve(),
      };
      const log = createLogger("error");
      void watchDescriptors({ pid: child.pid ?? 0, agent, over: over.signal, log });
      setTimeout(resolve, waitMs);
    });
    try {
      await called;
      return calls;
    } finally {
      over.abort();
      child.kill("SIGKILL");
    }
  };

  it("has the guest forget files when half of the descriptors are taken", async () => {
    expect(await watched(25, 8_000)).to.equal(1);
  });

  it("leaves the guest alone before", async () => {
    expect(await watched(5, 1_500)).to.equal(0);
  });

  it("ends with the process", async () => {
    const child = await server(1);
    const agent = { dropCaches: () => Promise.resolve(), awake: () => Promise.resolve() };
    const over = new AbortController().signal;
    const watch = watchDescriptors({
      pid: child.pid ?? 0,
      agent,
      over,
      log: createLogger("error"),
    });
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    await watch;
  });
});
