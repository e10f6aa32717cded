import { expect } from "chai";
import { parseImageConfig } from "../../../../src/image/content/image-config.js";

const bytes = (json: unknown): Buffer => Buffer.from(JSON.stringify(json));
const many = (count: number, text = (at: number) => `/v${at}`): string[] =>
  Array.from({ length: count }, (_, at) => text(at));
const asKeys = (names: readonly string[]): object => Object.fromEntries(names.map((name) => [name, {}]));
const diffId = `sha256:${"a".repeat(64)}`;

describe("the bounds of an image config", () => {
  for (const [what, most, config] of [
    ["config.Volumes", 64, (count: number) => ({ config: { Volumes: asKeys(many(count)) } })],
    ["config.Env", 1024, (count: number) => ({ config: { Env: many(count) } })],
    ["config.Entrypoint", 1024, (count: number) => ({ config: { Entrypoint: many(count) } })],
    ["config.Cmd", 1024, (count: number) => ({ config: { Cmd: many(count) } })],
    [
      "config.Labels",
      1024,
      (count: number) => ({ config: { Labels: Object.fromEntries(many(count).map((v) => [v, v])) } }),
    ],
    ["rootfs.diff_ids", 512, (count: number) => ({ rootfs: { diff_ids: many(count, () => diffId) } })],
    ["history", 1024, (count: number) => ({ history: many(count).map(() => ({})) })],
  ] as const) {
    it(`are ${most} entries of ${what}, and the error says so`, () => {
      expect(parseImageConfig(bytes(config(most)))).to.have.property("diffIds");
      expect(() => parseImageConfig(bytes(config(most + 1)))).to.throw(
        `the image config has ${most + 1} entries in ${what}, more than the ${most} that one may have`,
      );
    });
  }

  it("are the lengths of its texts", () => {
    for (const [config, words] of [
      [{ User: "u".repeat(257) }, "257 characters in config.User"],
      [{ WorkingDir: "/".repeat(4097) }, "4097 characters in config.WorkingDir"],
      [{ StopSignal: "S".repeat(65) }, "65 characters in config.StopSignal"],
      [{ Env: ["x".repeat(131_073)] }, "131073 characters in an entry of config.Env"],
      [{ Volumes: asKeys([`/${"v".repeat(4096)}`]) }, "4097 characters in a path in config.Volumes"],
    ] as const) {
      expect(() => parseImageConfig(bytes({ config }))).to.throw(words);
    }
  });

  it("leave an honest image alone that offers ten thousand ports", () => {
    const ExposedPorts = asKeys(many(10_000, (at) => `${at}/udp`));
    expect(
      parseImageConfig(bytes({ config: { ExposedPorts, Volumes: asKeys(["/data"]) } })).config.volumes,
    ).to.have.length(1);
  });
});
