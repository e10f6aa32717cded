import { expect } from "chai";
import type { ExitInfo, Native } from "../../../src/native/addon.js";
import { BoxProcesses } from "../../../src/vmm/box-processes.js";

/** A kernel with processes that end when they are told to, or by SIGKILL. */
class FakeKernel {
  readonly closed: number[] = [];
  readonly signalled: number[] = [];
  readonly #ends = new Map<number, (exit: ExitInfo) => void>();

  end(pidfd: number, exit: ExitInfo): void {
    this.#ends.get(pidfd)?.(exit);
  }

  get native(): Pick<Native, "watchExit" | "signalProcess" | "closeFd"> {
    return {
      watchExit: (pidfd) => ({
        exited: new Promise((resolve) => {
          this.#ends.set(pidfd, resolve);
        }),
        close: () => undefined,
      }),
      signalProcess: (pidfd, signal) => {
        if (this.closed.includes(pidfd)) throw new Error(`pidfd ${pidfd} belongs to another process by now`);
        this.signalled.push(pidfd);
        this.end(pidfd, { code: null, signal });
        return Promise.resolve(true);
      },
      closeFd: (fd) => {
        this.closed.push(fd);
        return Promise.resolve();
      },
    };
  }
}

function start(): { kernel: FakeKernel; processes: BoxProcesses } {
  const kernel = new FakeKernel();
  const processes = new BoxProcesses(kernel.native, (reason) => Promise.resolve(reason));
  processes.add("fs", { pid: 10, pidfd: 100, startTime: 1n });
  processes.add("vmm", { pid: 20, pidfd: 200, startTime: 2n });
  return { kernel, processes };
}

const soon = (): AbortSignal => AbortSignal.timeout(2000);

describe("the processes of a Box", () => {
  it("die together, and the reason is the first one's", async () => {
    const { kernel, processes } = start();
    expect(processes.exit).to.equal(undefined);
    kernel.end(200, { code: null, signal: 9 });
    expect((await processes.exited).reason).to.equal("vmm killed by signal 9");
    await processes.gone(soon());
    expect(kernel.signalled).to.deep.equal([100]);
    expect(processes.exit?.reason).to.equal("vmm killed by signal 9");
  });

  it("name the VMM when its file server's end is seen first", async () => {
    const { kernel, processes } = start();
    kernel.end(100, { code: 0, signal: null });
    await Promise.resolve();
    kernel.end(200, { code: 1, signal: null });
    expect((await processes.exited).reason).to.equal("vmm exited with status 1");
  });

  it("name the file server when it ends alone, and kill the VMM", async () => {
    const { kernel, processes } = start();
    kernel.end(100, { code: null, signal: 11 });
    expect((await processes.exited).reason).to.equal("file server killed by signal 11");
    await processes.gone(soon());
    expect(kernel.signalled).to.deep.equal([200]);
  });

  it("give an exit that is only being noticed, and none while they live", async () => {
    const { kernel, processes } = start();
    expect(await processes.exitWithin(1)).to.equal(undefined);
    const noticed = processes.exitWithin(2000);
    kernel.end(200, { code: null, signal: 9 });
    expect((await noticed)?.reason).to.equal("vmm killed by signal 9");
  });

  it("are listed VMM first, and close their descriptors once, after the last signal", async () => {
    const { kernel, processes } = start();
    expect(processes.list.map(({ role }) => role)).to.deep.equal(["vmm", "fs"]);
    await processes.kill(soon());
    await processes.kill(soon());
    expect(kernel.closed.sort()).to.deep.equal([100, 200]);
  });
});
