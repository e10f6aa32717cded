import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import pino from "pino";
import { encodeRecord } from "../../../../src/base/record-file.js";
import { boxDirectoryAt, readBoxRecord } from "../../../../src/vmm/box-directory.js";
import { containerRecords, podRecords } from "../../../../src/cri/records/kinds.js";
import { containerSpecOf } from "../../../../src/cri/map/container-spec.js";
import { podSpecOf } from "../../../../src/cri/map/pod-spec.js";
import { resourceSpecOf } from "../../../../src/cri/map/resources.js";
import { ContainerConfig } from "../../../../src/gen/runtime/v1/api.js";
import { fullContainer, fullMounts, fullPod, fullResources } from "../requests.js";
import { RecordDirectory } from "../../../../src/store/records.js";

const id = "5f".repeat(32);

/**
 * As the first daemon wrote them, letter by letter. What is on disk of a node must stay readable for ever: never change
 * these texts; a new version gets texts of its own beside them.
 */
const firstSandbox = `{"version":1,"id":"${id}","label":"default/web, u-1, 0","config":"CgA=","runtimeHandler":"","createdAtNs":{"$bigint":"1764000000123456789"},"netnsPath":"/run/a3s/netns/5f5f","box":{"driver":"qemu","processes":[{"role":"vmm","pid":4242,"startTime":{"$bigint":"99887766"}},{"role":"fs","pid":4241,"startTime":{"$bigint":"99887765"}}],"folder":"/run/a3s/boxes/5f5f","cgroups":["/sys/fs/cgroup/a3s-box/5f5f"]},"readyAtNs":{"$bigint":"1764000001123456789"}}`;
const firstContainer = `{"version":1,"id":"${id}","sandboxId":"${id}","label":"main, 0","config":"CgA=","image":{"id":"sha256:${"ab".repeat(32)}","reference":"docker.io/library/busybox@sha256:${"ab".repeat(32)}","name":"docker.io/library/busybox:1"},"logPath":"/var/log/pods/u-1/main/0.log","process":{"terminal":false,"user":{"uid":0,"gid":0,"additionalGids":[10]},"args":["sleep","9"],"env":["PATH=/bin"],"cwd":"/","capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"],"inheritable":[],"ambient":[]},"rlimits":[],"noNewPrivileges":false},"stopSignal":15,"sharedPaths":["/run/a3s/boxes/5f5f/share/c/1"],"createdAtNs":{"$bigint":"1764000002123456789"},"startedAtNs":{"$bigint":"1764000003123456789"}}`;
const firstBox = `{"version":1,"id":"${id}","driver":"qemu","processes":[{"role":"vmm","pid":4242,"startTime":{"$bigint":"99887766"}}],"cgroups":["/sys/fs/cgroup/a3s-box/5f5f"]}`;

describe("records of the first version", () => {
  let root: string;
  const silent = pino({ level: "silent" });
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "a3s-old-"));
  });
  afterEach(async () => {
    await rm(root, { recursive: true, force: true });
  });

  async function put(kind: "sandboxes" | "containers", text: string): Promise<void> {
    await mkdir(join(root, "records", kind), { recursive: true });
    await writeFile(join(root, "records", kind, `${id}.json`), text);
  }

  it("of a sandbox are read, with what later versions added absent", async () => {
    await put("sandboxes", firstSandbox);
    const [record] = await (await RecordDirectory.open(root, podRecords, silent)).load();
    expect(record?.box?.processes.map(({ pid }) => pid)).to.deep.equal([4242, 4241]);
    expect(record?.readyAtNs).to.equal(1_764_000_001_123_456_789n);
    expect(record?.network).to.equal(undefined);
  });

  it("of a container are read, with what later versions added at its default", async () => {
    await put("containers", firstContainer);
    const [record] = await (await RecordDirectory.open(root, containerRecords, silent)).load();
    expect(record?.process.args).to.deep.equal(["sleep", "9"]);
    expect(record?.startedAtNs).to.equal(1_764_000_003_123_456_789n);
    expect(record?.mirroredPaths).to.deep.equal([]);
  });

  it("become the specs that the same requests make now, whatever was asked for", async () => {
    const text = (name: string): Promise<string> =>
      readFile(join(import.meta.dirname, "version-1", `${name}.json`), "utf8");
    await mkdir(join(root, "records/sandboxes"), { recursive: true });
    await mkdir(join(root, "records/containers"), { recursive: true });
    await writeFile(join(root, `records/sandboxes/${"a".repeat(64)}.json`), await text("pod"));
    await writeFile(join(root, `records/containers/${"c".repeat(64)}.json`), await text("container"));
    const [pod] = await (await RecordDirectory.open(root, podRecords, silent)).load();
    expect(pod?.spec).to.deep.equal(podSpecOf({ config: fullPod, runtimeHandler: "small" }));
    expect(pod).to.deep.include({ version: 3, boundary: "namespaces", size: { vcpus: 2, memoryMib: 512 } });
    const directory = await RecordDirectory.open(root, containerRecords, silent);
    const [container] = await directory.load();
    expect(container?.spec).to.deep.equal(containerSpecOf(fullContainer));
    expect(container?.resources).to.deep.equal({ ...resourceSpecOf(fullResources), cpuShares: 9n });
    if (container === undefined) throw new Error("no record");
    await directory.write(container);
    expect(await directory.load()).to.deep.equal([container]);
  });

  it("of a sandbox as of version 2 are read, whose Box's directory had another name", async () => {
    await put("sandboxes", firstSandbox);
    const [known] = await (await RecordDirectory.open(root, podRecords, silent)).load();
    if (known?.box === undefined) throw new Error("no record");
    const { directory: folder, ...box } = known.box;
    await put("sandboxes", encodeRecord({ ...known, version: 2, box: { ...box, folder } }));
    expect(await (await RecordDirectory.open(root, podRecords, silent)).load()).to.deep.equal([known]);
    expect(folder).to.equal("/run/a3s/boxes/5f5f");
  });

  it("with numbers that CRI has no name for are what they were taken for", async () => {
    const [mount] = fullMounts;
    if (mount === undefined) throw new Error("no mount");
    const config = ContainerConfig.create({ mounts: [Object.assign({ ...mount }, { propagation: 9 })] });
    const encoded = Buffer.from(ContainerConfig.encode(config).finish()).toString("base64");
    await put("containers", firstContainer.replace('"config":"CgA="', `"config":"${encoded}"`));
    const [record] = await (await RecordDirectory.open(root, containerRecords, silent)).load();
    expect(record?.spec.mounts[0]?.propagation).to.equal("private");
  });

  it("of a Box are read", async () => {
    await writeFile(join(root, "box.json"), firstBox);
    expect((await readBoxRecord(boxDirectoryAt(root)))?.processes[0]?.pid).to.equal(4242);
  });

  it("of a newer daemon are set aside, and the log says that it was one", async () => {
    await put("sandboxes", firstSandbox.replace('"version":1', '"version":9'));
    const lines: string[] = [];
    const log = pino({}, { write: (line: string) => lines.push(line) });
    expect(await (await RecordDirectory.open(root, podRecords, log)).load()).to.deep.equal([]);
    expect(await readdir(join(root, "quarantine"))).to.have.length(1);
    expect(lines.join(""))
      .to.contain("record set aside")
      .and.to.contain("a downgrade is not possible")
      .and.to.contain("version 9 is not one that this daemon knows");
  });
});
