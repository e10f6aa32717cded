/** What the kernel says of processes and mounts has names in it that anybody may choose. */
import "../../support/fuzz.js";
import { expect } from "chai";
import fc from "fast-check";
import { mountOf, mountsBelow, parseMountinfo } from "../../../src/base/mountinfo.js";
import { parseProcStat } from "../../../src/base/proc-stat.js";
import { fuzz } from "../../support/fuzzing/run.js";

/** What the kernel writes of a text that someone has chosen (seq_escape, proc_pid_mountinfo(5)). */
function escaped(text: string): string {
  return text.replaceAll(/[ \t\n\\#]/g, (one) => `\\${one.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

const pathPart = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20, unit: "binary" }),
  fc.constantFrom(" - ", "\\040", "a b", "\n", "shared:1", "(deleted)"),
);
const path = fc
  .array(pathPart, { maxLength: 4 })
  .map((parts) => `/${parts.map((part) => part.replaceAll(/[/\0]/g, "_")).join("/")}`);
const mount = fc.record({
  mountId: fc.nat(),
  device: fc.tuple(fc.nat(4095), fc.nat(65_535)).map(([major, minor]) => `${major}:${minor}`),
  root: path,
  target: path,
  type: fc.constantFrom("ext4", "fuse.sshfs", "cgroup"),
  /** Of the file system: a device, or whatever mount(8) was told. */
  source: fc.oneof(path, fc.constantFrom("-", "none", "- - -", "a - b")),
  propagation: fc.subarray(["shared:9", "master:4", "unbindable"]),
  superOptions: fc.uniqueArray(fc.constantFrom("rw", "memory", "size=64k", "uid=0"), { minLength: 1 }),
});

describe("what the kernel says, with names that anybody has chosen", () => {
  it("of mounts is read as it was meant", () => {
    fc.assert(
      fc.property(fc.array(mount, { maxLength: 6 }), (mounts) => {
        const lines = mounts.map((one) => {
          const before = [one.mountId, 1, one.device, escaped(one.root), escaped(one.target), "rw", ...one.propagation];
          return [...before, "-", one.type, escaped(one.source), one.superOptions.join(",")].join(" ");
        });
        const expected = mounts.map(({ source: _, ...rest }) => rest);
        expect(parseMountinfo(lines.map((line) => `${line}\n`).join(""))).to.deep.equal(expected);
      }),
    );
  });

  it("of a process is read whatever it calls itself", () => {
    const fields = fc.record({ state: fc.constantFrom("R", "S", "Z", "X"), parent: fc.nat(), start: fc.nat() });
    const ticks = fc.tuple(fc.nat(), fc.nat());
    const name = fc.oneof(
      fc.string({ maxLength: 15, unit: "binary" }),
      fc.constantFrom(") Z 1 (", "a) b", "))", "", "\n", "1 (x) R 1"),
    );
    fc.assert(
      fc.property(name, fields, ticks, (comm, { state, parent, start }, [user, system]) => {
        const between = "1 1 0 -1 4194304 0 0 0 0";
        const text = `77 (${comm}) ${state} ${parent} ${between} ${user} ${system} 0 0 20 0 1 0 ${start} 1 2 3\n`;
        expect(parseProcStat(text)).to.deep.equal({
          state,
          parent,
          processGroup: 1,
          isExiting: false,
          cpuTicks: BigInt(user) + BigInt(system),
          startTime: BigInt(start),
        });
      }),
    );
  });

  it("damaged, gives lines that can be read and no error", async function () {
    this.timeout(0);
    const line = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n";
    await fuzz({
      name: "mountinfo",
      seeds: [line, `${line}1 1 0:21 / / rw - tmpfs none rw\n44 1 0:22 / /a\\040b rw - cgroup - rw,memory\n`],
      words: [" - ", "\\040", "\\134", "\n", "  ", "shared:"],
      tried: (input) => {
        const lines = parseMountinfo(input.toString());
        for (const target of mountsBelow(lines, "/mnt2")) expect(target.startsWith("/mnt2")).to.equal(true);
        expect(mountOf("/mnt2/x", lines)?.target ?? "/").to.be.a("string");
        return lines.length > 0;
      },
    });
  });
});
