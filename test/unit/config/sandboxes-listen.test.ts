import { expect } from "chai";
import { configOf, loadConfig, parseFile } from "../../../src/config/load.js";
import { serveFlags } from "../../../src/cli/serve-flags.js";

function port(text: string) {
  return configOf(parseFile(`[sandboxes]\n${text}`, "a.toml")).sandboxPort;
}

const token = '\n[sandboxes.tokens.ci]\ntoken_file = "/run/secrets/ci"';
const tls = '\ntls_cert_file = "/tls/crt"\ntls_key_file = "/tls/key"';

describe("the configuration of the sandboxes' port", () => {
  it("has none unless told, and CRI unless told otherwise", async () => {
    const config = configOf(new Map());
    expect(config.sandboxPort.listen).to.deep.equal([]);
    expect(config.cri.enabled).to.equal(true);
    expect((await loadConfig({ cri: "off" })).cri.enabled).to.equal(false);
    expect((await loadConfig({ cri: "on" })).cri.enabled).to.equal(true);
  });

  it("has several listeners", () => {
    const { listen } = port('listen = ["tcp://127.0.0.1:4088", "tcp://[::1]:0", "unix:///var/run/a3s/a3s-box.sock"]');
    expect(listen).to.deep.equal([
      { kind: "tcp", host: "127.0.0.1", port: 4088 },
      { kind: "tcp", host: "::1", port: 0 },
      { kind: "unix", path: "/var/run/a3s/a3s-box.sock" },
    ]);
  });

  it("has a flag that may stand alone", async () => {
    const listenOf = async (...args: string[]) => (await loadConfig(serveFlags(args))).sandboxPort.listen;
    const sidecar = { kind: "tcp", host: "127.0.0.1", port: 4088 };
    expect(await listenOf("--sandboxes")).to.deep.equal([sidecar]);
    expect(await listenOf("--sandboxes", "--cri", "off")).to.deep.equal([sidecar]);
    expect(await listenOf("--sandboxes", "unix:///run/x")).to.deep.equal([{ kind: "unix", path: "/run/x" }]);
    expect(await listenOf("--sandboxes=tcp://127.0.0.1:1")).to.deep.equal([{ ...sidecar, port: 1 }]);
  });

  it("has listeners beyond the loopback with tokens, and TLS or the word that something else encrypts", () => {
    for (const more of [tls, "\nplain = true"]) {
      expect(port(`listen = ["tcp://0.0.0.0:4088"]${more}${token}`).listen).to.have.length(1);
    }
    expect(port(`listen = ["vsock://:4088"]${token}`).listen).to.deep.equal([{ kind: "vsock", port: 4088 }]);
    expect(port(`listen = []${token}`).tokens).to.deep.equal({
      ci: { file: "/run/secrets/ci", variable: undefined, tenant: "ci" },
    });
  });

  for (const [text, wanted] of [
    [
      'listen = ["tcp://0.0.0.0:4088"]',
      /no tokens: whoever comes would run programs \(add \[sandboxes\.tokens\.NAME\]/,
    ],
    ['listen = ["tcp://10.0.0.1:4088"]', /which others than this machine reach/],
    ['listen = ["tcp://[::]:4088"]', /which others than this machine reach/],
    ['listen = ["tcp://[::ffff:127.0.0.1]:4088"]', /which others than this machine reach/],
    [`listen = ["tcp://127.0.0.1:1", "tcp://0.0.0.0:4088"]${tls}`, /no tokens/],
    [`listen = ["tcp://0.0.0.0:4088"]${token}`, /tokens would travel in clear \(set sandboxes\.tls_cert_file/],
    ['listen = ["vsock://:4088"]', /which whoever is on this machine reaches, and there are no tokens/],
    ['listen = ["tcp://127.0.0.1:4088", "vsock://2:4088"]', /vsock:\/\/:4088, which whoever is on this machine/],
    [`listen = ["vsock://:4294967295"]${token}`, /no address to listen on/],
    [`listen = ["vsock://4088"]${token}`, /sandboxes\.listen = /],
    ['listen = ["http://127.0.0.1:4088"]', /sandboxes\.listen = .*allowed: a list of "tcp:/],
    ['listen = ["tcp://example.org:4088"]', /sandboxes\.listen = /],
    ['listen = ["unix://run/x"]', /sandboxes\.listen = /],
    [`listen = ["unix:///${"x".repeat(120)}"]`, /too long for a socket/],
    ['tls_cert_file = "/a"', /one of sandboxes\.tls_cert_file and sandboxes\.tls_key_file is missing/],
    ['client_ca_file = "/a"', /there is no TLS/],
    ['[sandboxes.tokens.ci]\ntenant = "a"', /sandboxes\.tokens\.ci has no token_file/],
    ['[sandboxes.tokens.ci]\ntoken_file = "/a"\ntenant = "_node"', /sandboxes\.tokens = /],
    ['[sandboxes.tokens._local]\ntoken_file = "/a"', /sandboxes\.tokens = /],
    ['[sandboxes.tokens.ci]\ntoken = "secret"', /sandboxes\.tokens = /],
    ['kubelet = "https://127.0.0.1:10250"', /nothing says that it is kubelet \(set sandboxes\.kubelet_ca_file/],
    ['kubelet = "http://127.0.0.1:10255"\nkubelet_token_file = "/t"', /the token would travel in clear/],
    ['kubelet = "https://node2:10250"\nkubelet_ca_file = "/ca"', /sandboxes\.kubelet = /],
    ['socket_mode = "0999"', /sandboxes\.socket_mode/],
    ['hosts = ["*"]', /sandboxes\.hosts/],
    ['origins = ["https://a/b"]', /sandboxes\.origins/],
  ] as const) {
    it(`refuses ${text.slice(0, 90).replaceAll("\n", " ")}`, () => {
      expect(() => port(text)).to.throw(wanted);
    });
  }

  it("refuses a flag that is neither on nor off", async () => {
    const failure = await loadConfig({ cri: "maybe" }).catch((thrown: unknown) => String(thrown));
    expect(failure).to.match(/cri\.enabled = "maybe" in --cri is not allowed/);
  });
});
