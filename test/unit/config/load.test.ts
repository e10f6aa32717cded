import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { defaultConfigText } from "../../../src/config/default-text.js";
import { configOf, loadConfig, parseFile } from "../../../src/config/load.js";

function fromText(text: string) {
  return configOf(parseFile(text, "a.toml"));
}

describe("the configuration", () => {
  it("has a default text that parses to the defaults, with every key in it", () => {
    const given = parseFile(defaultConfigText(), "defaults");
    expect(configOf(given)).to.deep.equal(configOf(new Map()));
    expect([...given.keys()]).to.include.members(["root", "sandbox.memory_mib", "image.plain_http", "cgroup.driver"]);
  });

  it("puts the socket into the state directory unless told otherwise", () => {
    expect(fromText('state = "/run/x"').socketPath).to.equal("/run/x/cri.sock");
    expect(fromText('listen = "unix:///run/y.sock"').socketPath).to.equal("/run/y.sock");
  });

  it("serves metrics where it is told to, and nowhere unless told", async () => {
    expect(fromText("").metrics).to.equal(undefined);
    expect(fromText('[metrics]\naddress = "127.0.0.1:9091"').metrics).to.deep.equal({ host: "127.0.0.1", port: 9091 });
    expect((await loadConfig({ metrics: "[::1]:0" })).metrics).to.deep.equal({ host: "::1", port: 0 });
  });

  it("takes a default registry that a reference can name", () => {
    for (const host of ["docker.io", "mirror:5000", "localhost"]) {
      expect(fromText(`[image]\ndefault_registry = "${host}"`).image.defaultRegistry).to.equal(host);
    }
  });

  it("can't be changed once made", () => {
    const config = configOf(new Map());
    expect(config.sandbox).to.be.frozen;
    expect(config.image.plainHttp).to.be.frozen;
  });

  for (const [text, wanted] of [
    ["[sandbox]\nvcpus = 0", /sandbox\.vcpus = 0 in a\.toml is not allowed \(allowed: a whole number from 1 to 64\)/],
    ["[sandbox]\nvcpus = 1.5", /sandbox\.vcpus = 1\.5/],
    ['[sandbox]\nvcpus = "2"', /sandbox\.vcpus = "2"/],
    ['driver = "kvm"', /driver = "kvm" .*"auto", "krun", "qemu"/],
    ['root = "var/lib"', /root = "var\/lib" .*absolute path/],
    ['root = "/var/../etc"', /root = "\/var\/\.\.\/etc" /],
    ['listen = "tcp://0.0.0.0:1"', /listen = "tcp:\/\/0\.0\.0\.0:1" .*unix:\/\//],
    ['[image]\nplain_http = ["http://a"]', /image\.plain_http = \["http:\/\/a"\] /],
    ['[image]\ndefault_registry = "mirror"', /image\.default_registry = "mirror" .*with a dot or a port/],
    ["[sandbox]\nmemory = 5", /sandbox\.memory in a\.toml is no setting \(known: root, /],
    ["log = 5", /log in a\.toml is no setting/],
    ['[cgroup]\ndriver = "runc"', /cgroup\.driver = "runc" .*"cgroupfs"/],
    ['[metrics]\naddress = "9091"', /metrics\.address = "9091" .*"127\.0\.0\.1:9091"/],
    ['[metrics]\naddress = "localhost:9091"', /metrics\.address = "localhost:9091" /],
    ['[metrics]\naddress = "127.0.0.1:65536"', /metrics\.address = /],
    ['[metrics]\naddress = "::1:9091"', /metrics\.address = /],
    [`state = "/${"s".repeat(65)}"`, /state = .* is too long for the sockets below it \(allowed: up to 65 bytes\)/],
    ['host_namespaces = "box"', /host_namespaces = "box" .*"refuse", "native"/],
    ['[native]\nrunc = "runc"', /native\.runc = "runc" .*an absolute path/],
    ["[handlers.Big]", /handlers = .*a DNS label/],
    ['[handlers.big]\ndriver = "auto"', /handlers = .*driver \("krun", "qemu", "native"/],
    ["[handlers.big]\nmemory = 5", /handlers = /],
    ["[handlers.big]\nvcpus = 4\nmax_vcpus = 2", /handlers\.big\.vcpus = 4 is more than the handler's most, 2/],
    [
      "[handlers.big]\nready = [{ vcpus = 4, memory_mib = 512, count = 1 }]\nmax_vcpus = 2",
      /handlers\.big\.ready\.0\.vcpus = 4 is more than the handler's most, 2/,
    ],
    ["[handlers.big]\nready = [{ vcpus = 1, memory_mib = 64, count = 1 }]", /handlers = .*256 at least/],
    ["[handlers.big]\nready = [{ vcpus = 1, memory_mib = 256, count = 0 }]", /handlers = .*count \(1 to 64\)/],
    ["[handlers.big]\nready = [{ vcpus = 1, memory_mib = 256 }]", /handlers = .*ready/],
    [
      '[handlers.big]\ndriver = "native"\nready = [{ vcpus = 1, memory_mib = 256, count = 1 }]',
      /handlers\.big\.ready: pods of the driver "native" have no Box/,
    ],
    [
      "[handlers.big]\nready = [{ vcpus = 1, memory_mib = 256, count = 1 }, { vcpus = 1, memory_mib = 256, count = 2 }]",
      /handlers\.big\.ready\.1: 1 CPUs and 256 MiB is there twice/,
    ],
    ["root = ", /a\.toml is not TOML/],
  ] as const) {
    it(`refuses ${JSON.stringify(text.slice(0, 80))} and says what is allowed`, () => {
      expect(() => fromText(text))
        .to.throw(wanted)
        .with.property("code", "invalidArgument");
    });
  }

  it("has Boxes ready for pods without a RuntimeClass where the handler microvm has", () => {
    const { handlers } = fromText("[handlers.microvm]\nready = [{ vcpus = 2, memory_mib = 512, count = 3 }]");
    expect(handlers[""]?.ready).to.deep.equal([{ vcpus: 2, memoryMib: 512, count: 3 }]);
    expect(handlers["microvm"]?.ready).to.deep.equal(handlers[""]?.ready);
    const ofKrun = fromText(
      '[handlers.microvm]\ndriver = "krun"\nready = [{ vcpus = 2, memory_mib = 512, count = 3 }]',
    );
    expect(ofKrun.handlers[""]?.ready).to.deep.equal([]);
    expect(fromText("").handlers["microvm"]?.ready).to.deep.equal([]);
  });

  it("reads credentials by registry, and never shows them", () => {
    const text = '[image.auth."registry.example:5000"]\nusername = "u"\npassword = "p"';
    expect(fromText(text).image.auth).to.deep.equal({
      "registry.example:5000": { username: "u", password: "p", auth: "", identityToken: "", registryToken: "" },
    });
    expect(() => fromText('[image.auth."registry.example"]\npasword = "secret"'))
      .to.throw(/^image\.auth\.registry\.example \(Unrecognized key: "pasword"\) in a\.toml is not allowed/)
      .with.property("message")
      .that.does.not.include("secret");
  });

  it("takes a state directory of the longest length that is allowed", () => {
    expect(fromText(`state = "/${"s".repeat(64)}"`).state).to.have.length(65);
  });

  for (const [text, why] of [
    ["[sandboxes]\nunserved_ms = 1000\n", /unserved_ms would end pods of CRI too.*cri.enabled = false/],
    ['[cgroup]\ndriver = "systemd"\noutlive_container = true\n', /want cgroupfs/],
    ['[cgroup]\ndriver = "systemd"\nmemory_mib = 512\n', /want cgroupfs/],
  ] as const) {
    it(`refuses what does not go together: ${JSON.stringify(text)}`, () => {
      expect(() => fromText(text)).to.throw(why);
    });
  }

  it("lets flags win over the file", async () => {
    const directory = await mkdtemp(join(tmpdir(), "config-"));
    try {
      const config = join(directory, "c.toml");
      await writeFile(config, 'root = "/a"\nstate = "/b"\n');
      const loaded = await loadConfig({ config, root: "/c", driver: "qemu" });
      expect(loaded).to.include({ root: "/c", state: "/b", driver: "qemu" });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("names the flag when the value came from there", async () => {
    const failed = await loadConfig({ config: "/dev/null", driver: "x" }).then(
      () => "no error",
      (thrown: unknown) => String(thrown),
    );
    expect(failed).to.match(/driver = "x" in --driver is not allowed/);
  });

  it("refuses a config file that was asked for and is not there", async () => {
    const failed = await loadConfig({ config: "/nonexistent/c.toml" }).then(
      () => "no error",
      (thrown: unknown) => String(thrown),
    );
    expect(failed).to.match(/read config: ENOENT.*config default/);
  });
});
