/** What comes first on a connection, and what says which sandbox it is for. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect } from "chai";
import { RuntimeError } from "../../../../src/base/errors.js";
import { spokenIn } from "../../../../src/sandboxes/listen/first-bytes.js";
import { sandboxAddress } from "../../../../src/sandboxes/listen/sandbox-address.js";
import { hostIn, isKnownHost } from "../../../../src/sandboxes/listen/web-pages.js";
import { groupOwner } from "../../../../src/sandboxes/listen/who/group-owner.js";
import { fuzz } from "../../../support/fuzzing/run.js";
import { curl, mirror, openBed, portOf, type Bed } from "./bed.js";

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const request = "POST /who?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";

describe("damaged", () => {
  it("first bytes are told apart whole as in pieces, by no more than HTTP/2's preface", async function () {
    this.timeout(0);
    await fuzz({
      name: "first-bytes",
      seeds: [preface, request, `${preface}\0\0\0\x04\0\0\0\0\0`],
      words: ["PRI * ", "GET ", "\x16\x03\x01", "\r\n"],
      tried: (input) => {
        const whole = spokenIn(input);
        let first: ReturnType<typeof spokenIn>;
        for (let length = 1; length <= input.length && first === undefined; length += 1) {
          first = spokenIn(input.subarray(0, length));
          if (length >= preface.length) expect(first).to.not.equal(undefined);
        }
        expect(first).to.equal(whole);
        return whole === "http1" || whole === "http2";
      },
    });
  });

  it("headers and hosts name a sandbox by what can be one, or are refused", async function () {
    this.timeout(0);
    const fields = ["e2b-sandbox-id", "e2b-sandbox-port", "x-sandbox-id", "x-sandbox-port"];
    await fuzz({
      name: "sandbox-addresses",
      seeds: [
        "abcdefghij0123456789\n49983\n\n\nlocalhost:4088",
        "\n\nteam-a-box\n80\nlocalhost",
        "\n\n\n\n3000-abcdefghij0123456789.box.example.org",
      ],
      words: ["-", ".", "65536", "0", "\0", "%2e", "_", "é"],
      tried: (input) => {
        const values = input.toString("latin1").split("\n");
        const pairs = fields.map((name, at) => [name, values[at]] as const);
        const headers = Object.fromEntries(pairs.filter(([, value]) => value !== undefined && value !== ""));
        try {
          const address = sandboxAddress(headers, values[4] ?? "");
          if (address === undefined) return false;
          expect(address.id).to.match(/^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/);
          if (address.port !== undefined) expect(address.port).to.be.within(1, 65_535);
          return true;
        } catch (thrown) {
          if (!(thrown instanceof RuntimeError) || thrown.code !== "invalidArgument") throw thrown;
          return false;
        }
      },
    });
  });

  it("hosts are known by their names alone", async function () {
    this.timeout(0);
    const rules = { hosts: ["*.box.example.org"], origins: [] };
    await fuzz({
      name: "hosts",
      seeds: ["localhost:80", "127.0.0.1", "[::1]:4088", "3000-abc.box.example.org"],
      words: ["@", "/", "\\", "#", "?", " ", ".", "evil.example", "[", "]"],
      tried: (input) => {
        const text = input.toString("latin1");
        if (!isKnownHost(text, rules)) return false;
        // As a client's library would take it, too.
        expect(URL.canParse(`http://${text}/`), text).to.equal(true);
        const { hostname } = new URL(`http://${text}/`);
        expect(hostname, text).to.match(/^(?:localhost|.*\.localhost|[\d.]+|\[[\da-f:.]+\]|.*\.box\.example\.org)\.?$/);
        expect(hostIn(text)?.name.length).to.be.lessThan(254);
        return true;
      },
    });
  });

  it("control groups are one pod's, one Box's, or nobody's", async function () {
    this.timeout(0);
    const uid = "0f3c2a1b-1111-2222-3333-444455556666";
    const id = "c".repeat(64);
    await fuzz({
      name: "control-groups",
      seeds: [
        `4:memory:/kubepods/burstable/pod${uid}/${id}\n0::/kubepods/burstable/pod${uid}/${id}\n`,
        `0::/kubepods.slice/kubepods-pod${uid.replaceAll("-", "_")}.slice/cri-containerd-${id}.scope\n`,
        `0::/a3s-box/${id}/agent\n`,
      ],
      words: ["kubepods", "/", "..", "pod", uid, id, ".slice", "\n0::/"],
      tried: (input) => {
        const owner = groupOwner(input.toString("latin1"));
        if (owner.kind === "pod") expect(owner.uid).to.match(/^[0-9a-zA-Z-]{1,64}$/);
        if (owner.kind === "box") expect(owner.id).to.match(/^[0-9a-f]{64}$/);
        return owner.kind === "pod" || owner.kind === "box";
      },
    });
  });

  describe("connections", () => {
    let bed: Bed;
    before(async () => {
      bed = await openBed('listen = ["tcp://127.0.0.1:0"]', {
        limits: { firstBytesMs: 300, headersMs: 300, bodyIdleMs: 300, lingerMs: 300 },
        protocolsHttp: [mirror],
      });
    });
    after(async () => {
      await bed.close();
    });

    it("are answered or closed, and others are heard", async function () {
      this.timeout(0);
      await fuzz({
        name: "sandbox-port",
        seeds: [request],
        words: [
          "Transfer-Encoding: chunked\r\n",
          "HTTP/1.0",
          "Upgrade: x\r\nConnection: upgrade\r\n",
          "\r\n\r\n",
          preface,
        ],
        tried: async (input) => {
          const socket = connect(portOf(bed)).on("error", () => undefined);
          let answer = "";
          socket.on("data", (chunk: Buffer) => (answer += chunk.toString("latin1")));
          socket.end(input); // what is not whole is not waited for
          await once(socket, "close", { signal: AbortSignal.timeout(10_000) });
          if (answer !== "" && !input.includes(preface.slice(0, 20))) expect(answer).to.match(/^HTTP\/1\.1 [1-5]\d\d /);
          return answer.startsWith("HTTP/1.1 200");
        },
      });
      expect(await curl(`http://127.0.0.1:${portOf(bed)}/who`)).to.match(/ 200$/);
    });
  });
});
