/** Who may call by TCP: tokens, certificates, and no web page that was not asked in. */
import { rename, stat, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { expect } from "chai";
import { ServerReflectionClient } from "../../../../src/gen/grpc/reflection/v1/reflection.js";
import { makeAuthority, type TestAuthority } from "../../../support/certificates.js";
import { eventually } from "../../../support/wait.js";
import { curl, exchange, healthOf, openBed, portOf, type Bed } from "./bed.js";

const token = "correct-horse-battery-staple";
const withToken = `listen = ["tcp://127.0.0.1:0", "unix://DIRECTORY/s/box.sock"]
[sandboxes.tokens.ci]
token_file = "DIRECTORY/ci"
tenant = "team-a"`;

/** The code of a call that needs to know who calls; 0: it was answered. */
function statusOfList(target: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const client = new ServerReflectionClient(target, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const call = client.serverReflectionInfo(metadata);
    const end = (code: number): void => {
      client.close();
      resolve(code);
    };
    call.on("data", () => {
      end(0);
    });
    call.on("error", (error: ServiceError) => {
      end(error.code);
    });
    call.write({ host: "", listServices: "" });
  });
}

describe("a token of the sandboxes' port", () => {
  let bed: Bed;
  let base: string;
  before(async () => {
    bed = await openBed(withToken);
    base = `http://127.0.0.1:${portOf(bed)}`;
    await writeFile(join(bed.directory, "ci"), `${token}\n`);
  });
  after(async () => {
    await bed.close();
  });

  it("says who calls, as a bearer's or as E2B's key", async () => {
    for (const header of [`Authorization: Bearer ${token}`, `X-API-Key: ${token}`]) {
      expect(await curl("-H", header, `${base}/who`)).to.equal(
        '{"caller":{"tenant":"team-a","name":"token ci"},"bytes":0} 200',
      );
    }
    expect(await statusOfList(`127.0.0.1:${portOf(bed)}`, { authorization: `Bearer ${token}` })).to.equal(0);
    expect(await statusOfList(`127.0.0.1:${portOf(bed)}`, { "x-api-key": token })).to.equal(0);
  });

  it("is refused when it is nobody's, and a call of gRPC without one", async () => {
    for (const wrong of ["nobody's-token-at-all", `${token}x`, token.slice(0, -1), token.toUpperCase()]) {
      const answer = await curl("-i", "-H", `Authorization: Bearer ${wrong}`, `${base}/who`);
      expect(answer)
        .to.match(/^HTTP\/1\.1 401 /)
        .and.match(/www-authenticate: Bearer/i);
      expect(await statusOfList(`127.0.0.1:${portOf(bed)}`, { authorization: `Bearer ${wrong}` })).to.equal(16);
    }
    expect(await statusOfList(`127.0.0.1:${portOf(bed)}`, {})).to.equal(16);
    expect(bed.lines.join("")).to.include("refused a caller").and.not.include("nobody's-token");
  });

  it("is not asked of whoever looks after the daemon", async () => {
    expect(await curl(`${base}/healthz`)).to.equal("ok\n 200");
    expect(await healthOf(`127.0.0.1:${portOf(bed)}`)).to.deep.equal({ status: 1 });
  });

  it("may be the sandbox's own where a request is for one: the protocol decides", async () => {
    const forOne = ["-H", "E2b-Sandbox-Id: abc", "-H", "E2b-Sandbox-Port: 49983"];
    const wanted = '{"address":{"id":"abc","port":49983},"bytes":0} 200';
    expect(await curl(...forOne, "-H", "Authorization: Bearer of-the-app", `${base}/who`)).to.equal(wanted);
    expect(await curl(...forOne, `${base}/who`)).to.equal(wanted);
    expect(await curl(`${base}/who`)).to.equal('{"bytes":0} 200');
  });

  it("is nothing on a Unix socket: the kernel says who calls there", async () => {
    const words = ["--unix-socket", join(bed.directory, "s/box.sock"), "-H", `X-API-Key: ${token}`, "http://box/who"];
    expect(await curl(...words)).to.include('"tenant":"_node"');
  });

  it("is another when its file changes, and none when that is gone or too short", async () => {
    const statuses = async (...tokens: string[]): Promise<string> => {
      const answers = await Promise.all(tokens.map((one) => curl("-H", `X-API-Key: ${one}`, `${base}/who`)));
      return answers.map((answer) => answer.slice(-3)).join(" ");
    };
    const turns = async (wanted: string, ...tokens: string[]): Promise<void> => {
      await eventually(wanted, 5_000, async () => ((await statuses(...tokens)) === wanted ? true : undefined));
    };
    const put = async (text: string): Promise<void> => {
      await writeFile(join(bed.directory, "new"), text);
      await rename(join(bed.directory, "new"), join(bed.directory, "ci"));
    };
    await put("another-token-of-ours\n");
    await turns("401 200", token, "another-token-of-ours");
    await put("short\n");
    await turns("401 401", "another-token-of-ours", "short");
    await rename(join(bed.directory, "ci"), join(bed.directory, "away"));
    await turns("401", "another-token-of-ours");
    await put(token);
    await turns("200 401", token, "another-token-of-ours");
  }).timeout(20_000);
});

describe("a port that asks for tokens", () => {
  it("keeps room for those who have one, however many connections are open of those who have none", async () => {
    const bed = await openBed(`max_connections = 40\n${withToken}`);
    const idle: Socket[] = [];
    try {
      await writeFile(join(bed.directory, "ci"), token);
      for (let number = 0; number < 60; number += 1) {
        const socket = connect(portOf(bed)).on("error", () => undefined);
        socket.write("GET /who HTTP/1.1\r\nHost: localhost\r\n\r\n"); // answered, and kept open
        await new Promise((resolve) => socket.once("data", resolve));
        idle.push(socket);
      }
      expect(await curl("-H", `X-API-Key: ${token}`, `http://127.0.0.1:${portOf(bed)}/who`)).to.match(/ 200$/);
    } finally {
      for (const socket of idle) socket.destroy();
      await bed.close();
    }
  });
});

describe("a caller on a Unix socket whom the kernel knows and nobody else", () => {
  it("is told why it may not call, in each protocol's way; the daemon's health is no secret", async () => {
    const bed = await openBed('listen = ["unix://DIRECTORY/s/box.sock"]', {
      native: {
        peerCredentials: () => ({ pid: process.pid, uid: 1000, gid: 1000 }),
        openPeer: () => 0,
        signalProcess: () => Promise.resolve(true),
        closeFd: () => Promise.resolve(),
        bindVsock: () => -1,
        joinAccepted: () => ({ close: () => undefined }),
      },
    });
    try {
      const socket = join(bed.directory, "s/box.sock");
      const answer = await curl("--unix-socket", socket, "-H", "X-API-Key: any", "http://box/who");
      expect(answer).to.match(/"message":"user 1000 of the machine may not call.*403$/s);
      expect(await statusOfList(`unix://${socket}`, {})).to.equal(7);
      expect(await curl("--unix-socket", socket, "http://box/healthz")).to.equal("ok\n 200");
      expect(bed.lines.join("")).to.include('"reason":"peer"').and.include("user 1000 of the machine");
      const mode = (await stat(socket)).mode & 0o777;
      expect(mode).to.equal(0o660);
    } finally {
      await bed.close();
    }
  });
});

describe("a web page", () => {
  let bed: Bed;
  before(async () => {
    bed = await openBed(
      'listen = ["tcp://127.0.0.1:0", "unix://DIRECTORY/s/box.sock"]\nhosts = ["*.box.example.org", "box.example.org"]\norigins = ["https://console.example.org"]',
    );
  });
  after(async () => {
    await bed.close();
  });

  const own = "49983-abcdefghij0123456789";
  for (const [host, headers, wanted] of [
    ["localhost", [], 200],
    ["localhost:PORT", [], 200],
    ["127.0.0.1:PORT", [], 200],
    ["[::1]:PORT", [], 200],
    ["LOCALHOST", [], 200],
    ["box.example.org", [], 200],
    [`${own}.box.example.org`, [], 200],
    [`${own}.localhost:PORT`, [], 200],
    ["evil.example", [], 403],
    ["localhost.evil.example", [], 403],
    ["127.0.0.1.evil.example", [], 403],
    ["xbox.example.org", [], 403],
    ["", [], 400],
    ["localhost", ["Origin: https://evil.example"], 403],
    ["localhost", ["Origin: null"], 403],
    ["localhost:PORT", ["Origin: http://localhost:1"], 403],
    ["localhost", ["Origin: https://console.example.org"], 200],
    ["localhost", ["Origin: https://console.example.org.evil.example"], 403],
    [`${own}.box.example.org`, [`Origin: https://${own}.box.example.org`], 200],
    ["localhost", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"], 403],
    ["localhost", ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"], 200],
    ["localhost", ["Sec-Fetch-Site: none"], 200],
  ] as const) {
    it(`that has the host "${host}"${headers.map((one) => ` and ${one}`).join("")} gets ${wanted}`, async () => {
      const lines = ["GET /who HTTP/1.1", `Host: ${host.replace("PORT", String(portOf(bed)))}`, ...headers];
      const answer = await exchange({ port: portOf(bed) }, [`${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`]);
      expect(answer).to.match(new RegExp(`^HTTP/1\\.1 ${wanted} `));
      expect(answer).to.not.match(/access-control/i);
    });
  }

  it("does not come by a Unix socket, whatever the host is called there", async () => {
    const socket = join(bed.directory, "s/box.sock");
    expect(await curl("--unix-socket", socket, "http://any.thing/who")).to.match(/ 200$/);
    expect(await curl("--unix-socket", socket, "-H", "Origin: https://evil.example", "http://box/who")).to.match(
      / 403$/,
    );
  });

  it("gets no further by gRPC", async () => {
    const target = `127.0.0.1:${portOf(bed)}`;
    expect(await statusOfList(target, {})).to.equal(0);
    expect(await statusOfList(target, { origin: "https://evil.example" })).to.equal(7);
  });
});

describe("TLS on the sandboxes' port", () => {
  let authority: TestAuthority;
  let bed: Bed;
  before(async () => {
    authority = await makeAuthority();
    const server = await authority.issue("server", "IP:127.0.0.1,DNS:localhost");
    bed = await openBed(`listen = ["tcp://127.0.0.1:0"]
tls_cert_file = "${server.certFile}"
tls_key_file = "${server.keyFile}"
client_ca_file = "${authority.certFile}"
[sandboxes.tokens.robot]
tenant = "team-b"
[sandboxes.tokens.ci]
token_file = "DIRECTORY/ci"`);
    await writeFile(join(bed.directory, "ci"), token);
  });
  after(async () => {
    await bed.close();
    await authority.remove();
  });

  function serverName(): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({ port: portOf(bed), host: "127.0.0.1", rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  }

  it("carries gRPC and HTTP/1.1", async () => {
    const https = ["--cacert", authority.certFile, "-H", `X-API-Key: ${token}`];
    expect(await curl("--http1.1", ...https, `https://localhost:${portOf(bed)}/who`)).to.include('"token ci"');
    const trusted = credentials.createSsl(readFileSync(authority.certFile));
    expect(await healthOf(`localhost:${portOf(bed)}`, trusted)).to.deep.equal({ status: 1 });
  });

  it("knows the owner of a client certificate by its name, and nobody by another's", async () => {
    const robot = await authority.issue("robot", "DNS:robot");
    const stranger = await authority.issue("stranger", "DNS:stranger");
    const other = await makeAuthority();
    try {
      const forged = await other.issue("robot", "DNS:robot");
      const who = async ({ certFile, keyFile }: typeof robot): Promise<string> =>
        await curl(
          "--cacert",
          authority.certFile,
          "--cert",
          certFile,
          "--key",
          keyFile,
          `https://localhost:${portOf(bed)}/who`,
        );
      expect(await who(robot)).to.equal('{"caller":{"tenant":"team-b","name":"token robot"},"bytes":0} 200');
      for (const nobody of [stranger, forged]) expect(await who(nobody)).to.equal('{"bytes":0} 200');
    } finally {
      await other.remove();
    }
  });

  it("says so where a client comes without it and has to", async () => {
    // On the loopback both are spoken.
    expect(await curl("-H", `X-API-Key: ${token}`, `http://127.0.0.1:${portOf(bed)}/who`)).to.include('"token ci"');
    const beyond = await openBed(`listen = ["tcp://0.0.0.0:0"]
tls_cert_file = "${authority.certFile}"
tls_key_file = "${authority.keyFile}"
[sandboxes.tokens.ci]
token_file = "DIRECTORY/ci"`);
    expect(await exchange({ port: portOf(beyond) }, ["GET / HTTP/1.1\r\n\r\n"])).to.match(
      /^HTTP\/1\.1 400 .*speaks TLS/s,
    );
    await beyond.close();
  });

  it("has the certificate that is in the file now", async () => {
    expect(await serverName()).to.equal("server");
    const server = await authority.issue("renewed", "IP:127.0.0.1,DNS:localhost");
    const config = { cert: join(server.certFile, "../server.pem"), key: join(server.keyFile, "../server.key") };
    await writeFile(config.cert, "no certificate\n"); // half of a change leaves what there was
    await eventually("it is told of", 5_000, async () => {
      expect(await serverName()).to.equal("server");
      return bed.lines.join("").includes("can't use the certificate that is there now") || undefined;
    });
    await Promise.all([rename(server.certFile, config.cert), rename(server.keyFile, config.key)]);
    await eventually("the new one", 5_000, async () => ((await serverName()) === "renewed" ? true : undefined));
    expect(bed.lines.join(""))
      .to.include("can't use the certificate that is there now")
      .and.include("certificate read again");
  }).timeout(15_000);
});
