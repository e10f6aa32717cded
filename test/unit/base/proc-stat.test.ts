import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "chai";
import { parseProcStat, procStat } from "../../../src/base/proc-stat.js";

describe("the stat of a process", () => {
  it("is read behind the last bracket, whatever the process calls itself", () => {
    const numbers = Array.from({ length: 49 }, (_, index) => String(index + 4)).join(" ");
    const stat = parseProcStat(`17 (a) b (c) R 1) S ${numbers}`);
    const facts = { state: "S", parent: 4, processGroup: 5, isExiting: false, cpuTicks: 14n + 15n, startTime: 22n };
    expect(stat).to.deep.equal(facts);
    expect(parseProcStat(`17 (a) S ${numbers.replace(" 9 ", " 4194308 ")}`).isExiting).to.equal(true);
  });

  it("has this process's parent, and a start time that stays", async () => {
    const [one, two] = [await procStat("self"), await procStat(process.pid)];
    expect(one?.parent).to.equal(process.ppid);
    expect(one?.startTime).to.equal(two?.startTime).and.not.equal(0n);
  });

  it("is undefined for a process that is gone", async () => {
    const child = spawn("true");
    await once(child, "exit");
    expect(await procStat(child.pid ?? 0)).to.equal(undefined);
  });
});
