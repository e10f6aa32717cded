import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { send, startHostileRegistry, type Answer, type HostileRegistry } from "../support/hostile-registry.js";
import { authOf, pullFailure, pullFrom, type PullOptions } from "../support/registry-pull.js";
import { buildLayer } from "../support/tar-builder.js";

const layer = buildLayer([{ name: "file", content: "x".repeat(5000) }], "none");
const size = layer.bytes.length;
const layerPath = `/blobs/${layer.digest}`;
const manifestPath = "/manifests/v1";

/** Sends bytes [from, to) and then breaks the connection, unless that is the end. */
function part(response: ServerResponse, status: number, from: number, to: number, range?: string): void {
  const headers = { "content-length": size - from, ...(range !== undefined && { "content-range": range }) };
  response.writeHead(status, headers);
  response.write(layer.bytes.subarray(from, to), () => {
    if (to < size) response.destroy();
    else response.end();
  });
}

describe("a blob whose stream breaks", () => {
  let registry: HostileRegistry;
  let ranges: string[];
  const pull = async (options: PullOptions = {}): Promise<string> =>
    await pullFrom(`${registry.host}/team/app:v1`, options);

  beforeEach(async () => {
    registry = await startHostileRegistry();
    registry.serve("team/app", "v1", { layers: [layer] });
    ranges = [];
  });
  afterEach(async () => {
    await registry.stop();
  });

  function answerRange(answer: (response: ServerResponse, from: number) => void): void {
    registry.answer(layerPath, (request, response) => {
      const range = request.headers.range ?? "";
      ranges.push(range);
      const from = Number(/^bytes=([0-9]+)-$/.exec(range)?.[1] ?? 0);
      answer(response, from);
    });
  }

  it("is taken up where it broke, as often as it moves on", async () => {
    answerRange((response, from) => {
      const range = from === 0 ? undefined : `bytes ${from}-${size - 1}/${size}`;
      part(response, from === 0 ? 200 : 206, from, Math.min(from + 1500, size), range);
    });
    await pull();
    expect(ranges.length).to.equal(Math.ceil(size / 1500));
    expect(ranges.slice(0, 3)).to.deep.equal(["", "bytes=1500-", "bytes=3000-"]);
  });

  it("starts anew at a registry that ignores ranges", async () => {
    answerRange((response) => {
      part(response, 200, 0, ranges.length === 1 ? 1500 : size);
    });
    await pull();
    expect(ranges).to.deep.equal(["", "bytes=1500-"]);
  });

  it("starts anew when another range comes than was asked for, or none", async () => {
    for (const wrong of [
      (response: ServerResponse) => {
        part(response, 206, 2000, size, `bytes 2000-${size - 1}/${size}`);
      },
      (response: ServerResponse) => {
        part(response, 206, 1500, size);
      },
      (response: ServerResponse) => {
        part(response, 206, 1500, size, `bytes 1500-${size}/${size + 1}`);
      },
      (response: ServerResponse) => response.writeHead(416).end(),
    ]) {
      ranges = [];
      answerRange((response) => {
        if (ranges.length === 1) part(response, 200, 0, 1500);
        else if (ranges.length === 2) wrong(response);
        else part(response, 200, 0, size);
      });
      await pull();
      expect(ranges).to.deep.equal(["", "bytes=1500-", ""]);
    }
  });

  it("is checked as a whole: another rest than the first part belongs to is found", async () => {
    answerRange((response, from) => {
      if (from === 0) part(response, 200, 0, 1500);
      else {
        response.writeHead(206, { "content-range": `bytes ${from}-${size - 1}/${size}` });
        response.end(Buffer.alloc(size - from, 1));
      }
    });
    const message = await pullFailure(`${registry.host}/team/app:v1`);
    expect(message).to.match(/^download sha256:[0-9a-f]{64} from 127\.0\.0\.1:\d+: sha256:.* came for /);
  });

  it("is finished by the next host when one gives up on it", async () => {
    const certs = await mkdtemp(join(tmpdir(), "a3s-test-certs-"));
    const mirror = await startHostileRegistry();
    try {
      mirror.serve("team/app", "v1", { layers: [layer] });
      mirror.answer(layerPath, (_request, response) => {
        part(response, 200, 0, 1500);
      });
      answerRange((response, from) => {
        part(response, 206, from, size, `bytes ${from}-${size - 1}/${size}`);
      });
      await mkdir(join(certs, "registry.example"));
      const lines = `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n`;
      await writeFile(join(certs, "registry.example", "hosts.toml"), lines);
      await pullFrom("registry.example/team/app:v1", { hostsDirs: [certs] });
      expect(ranges).to.deep.equal(["bytes=1500-"]);
    } finally {
      await mirror.stop();
      await rm(certs, { recursive: true });
    }
  });

  it("is given up when nothing more comes, whether it ends or breaks", async () => {
    answerRange((response) => {
      response.writeHead(200).end(layer.bytes.subarray(0, 1500));
    });
    const message = await pullFailure(`${registry.host}/team/app:v1`);
    expect(message).to.match(new RegExp(`ends after 1500 of ${size} bytes`));
    expect(ranges).to.have.length(3);
  });
});

describe("a registry that says no", () => {
  let registry: HostileRegistry;
  let reference: string;

  beforeEach(async () => {
    registry = await startHostileRegistry();
    ({ reference } = registry.serve("team/app", "v1", { layers: [layer] }));
  });
  afterEach(async () => {
    await registry.stop();
  });

  const status =
    (code: number, headers: Record<string, string> = {}, body = ""): Answer =>
    (_request, response) =>
      response.writeHead(code, headers).end(body);
  const json = '{"errors":[{"code":"DENIED","message":"pay\\u0007 the \\u001b[31m bill"}]}';

  for (const [what, path, answer, wanted] of [
    ["forbids", manifestPath, status(403, {}, json), /forbids access \(403\): pay.*may not read/],
    ["limits", manifestPath, status(429, { "retry-after": "3600" }), /\(429\) \(pull again in 3600 s, with cred/],
    ["fails", manifestPath, status(500), /answers 500 \(pull again later\)/],
    ["isn't one", manifestPath, status(418), /answers 418 \(check that the host is a registry\)/],
    ["sends a page as a blob", layerPath, send("<html>", "text/html"), /^download sha256:.* sends a web page/],
    ["has lost a blob", layerPath, status(404), /^download sha256:.* has no blob .*push it again/],
    [
      "wants a token from nowhere",
      manifestPath,
      status(401, { "www-authenticate": 'Bearer realm="/token"' }),
      /wants a token but names no token server/,
    ],
    ["wants an unknown scheme", manifestPath, status(401, { "www-authenticate": "Negotiate" }), /wants credentials/],
    ["wants anything", manifestPath, status(401), /wants credentials \(401\) \(give credentials/],
    ["redirects nowhere", layerPath, status(307), /redirects to/],
    ["redirects elsewhere", layerPath, status(307, { location: "ftp://x.example/" }), /redirects to ftp:.*no TLS/],
  ] as const) {
    it(`is understood when it ${what}`, async () => {
      registry.answer(path, answer);
      const message = await pullFailure(reference);
      expect(message).to.match(wanted).and.include(registry.host);
    });
  }

  it("is understood when its token server sends a page, or fails", async () => {
    registry.answer(manifestPath, status(401, { "www-authenticate": `Bearer realm="http://${registry.host}/token"` }));
    registry.answer("/token", send("<html>", "text/html"));
    expect(await pullFailure(reference)).to.match(/the token server .* gave no token/);
    registry.answer("/token", status(503));
    expect(await pullFailure(reference)).to.match(/the token server .* answers 503/);
  });

  it("is not asked again before it wants, and not at all when it wants too much time", async () => {
    const times: number[] = [];
    const later = (seconds: string) => {
      times.length = 0;
      registry.answer(manifestPath, (_request, response) => {
        times.push(performance.now());
        response.writeHead(times.length === 1 ? 429 : 404, { "retry-after": seconds }).end();
      });
    };
    later("1");
    await pullFailure(reference);
    expect((times[1] ?? 0) - (times[0] ?? 0)).to.be.within(990, 5000);
    later("61");
    await pullFailure(reference);
    expect(times).to.have.length(1);
  });

  it("is given up when no answer comes at all", async () => {
    registry.answer(manifestPath, () => undefined);
    expect(await pullFailure(reference, { stallMs: 500 })).to.match(/sent nothing for 500 ms \(it has stalled/);
  });

  it("gets neither password nor headers of hosts.toml when it leads elsewhere", async () => {
    const certs = await mkdtemp(join(tmpdir(), "a3s-test-certs-"));
    const elsewhere = await startHostileRegistry();
    const seen: unknown[] = [];
    try {
      elsewhere.answer("/blob", (request, response) => {
        seen.push([request.headers.authorization, request.headers["x-secret"]]);
        send(layer.bytes, "application/octet-stream")(request, response);
      });
      registry.answer(layerPath, (request, response) => {
        seen.push([request.headers.authorization, request.headers["x-secret"]]);
        if (request.headers.authorization === undefined) {
          response.writeHead(401, { "www-authenticate": "Basic realm=x" }).end();
        } else response.writeHead(307, { location: `http://${elsewhere.host}/blob` }).end();
      });
      await mkdir(join(certs, "_default"));
      await writeFile(join(certs, "_default", "hosts.toml"), 'header = { x-secret = "s" }\n');
      const auth = authOf({ username: "u", password: "p" });
      await pullFrom(reference, { hostsDirs: [certs], auth });
      expect(seen).to.deep.equal([
        [undefined, "s"],
        ["Basic dTpw", "s"],
        [undefined, undefined],
      ]);
    } finally {
      await elsewhere.stop();
      await rm(certs, { recursive: true });
    }
  });
});
