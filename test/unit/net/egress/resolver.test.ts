import { expect } from "chai";
import type { EgressReason } from "../../../../src/net/egress/closed.js";
import { BoxResolver } from "../../../../src/net/egress/dns/resolver.js";
import type { Found } from "../../../../src/net/egress/dns/upstream.js";
import { compileEgress, planEgress } from "../../../../src/net/egress/policy.js";

function rules(...allowOut: readonly string[]) {
  return compileEgress(planEgress({ allowOut, denyOut: [] }, { mayOpen: [], mayOpenNode: true, nameServers: [] }), []);
}

function question(name: string, type = 1): Buffer {
  const labels = name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([Buffer.from("123401000001000000000000", "hex"), ...labels, Buffer.from([0, 0, type, 0, 1])]);
}

describe("the resolver of a Box", () => {
  const found: Found = { code: "ok", addresses: ["203.0.113.1"], ttlS: 1 };

  function world(upstream: (name: string) => Promise<Found>, pin: () => Promise<void> = () => Promise.resolve()) {
    const asked: string[] = [];
    const pinned: [string, readonly string[], number][] = [];
    const refused: EgressReason[] = [];
    const resolver = new BoxResolver(rules("*.example.org"), {
      upstream: (name) => {
        asked.push(name);
        return upstream(name);
      },
      pin: (name, addresses, ms) => {
        pinned.push([name, addresses, ms]);
        return pin();
      },
      refused: (reason) => refused.push(reason),
    });
    const codeOf = async (name: string, type = 1): Promise<number> =>
      ((await resolver.answer(question(name, type)))?.readUInt16BE(2) ?? -1) & 15;
    return { resolver, asked, pinned, refused, codeOf };
  }

  it("pins before it tells, for five minutes more than it says, and asks once for many", async () => {
    const { resolver, asked, pinned, codeOf } = world(() => Promise.resolve(found));
    const answers = await Promise.all(
      ["a.example.org", "a.example.org"].map((name) => resolver.answer(question(name))),
    );
    await codeOf("a.example.org");
    expect(asked).to.deep.equal(["a.example.org"]);
    expect(pinned).to.deep.equal([["a.example.org", ["203.0.113.1"], 330_000]]);
    for (const answer of answers) expect(answer?.readUInt32BE(answer.length - 10)).to.equal(30); // no shorter than that
  });

  it("tells nothing that the kernel did not take", async () => {
    const { codeOf } = world(
      () => Promise.resolve(found),
      () => Promise.reject(new Error("full")),
    );
    expect(await codeOf("a.example.org")).to.equal(2);
  });

  it("tells nothing that was found under rules that are no more", async () => {
    let answer: (value: Found) => void = () => undefined;
    const waiting = new Promise<Found>((resolve) => (answer = resolve));
    const { resolver, pinned, codeOf } = world(() => waiting);
    const code = codeOf("a.example.org");
    resolver.setRules(rules("*.example.net"));
    answer(found);
    expect(await code).to.equal(2);
    expect(pinned).to.deep.equal([]);
    expect(await codeOf("a.example.org")).to.equal(3);
  });

  it("counts a refusal for each who has asked, where it asks once for many", async () => {
    const inside: Found = { ...found, addresses: ["169.254.169.254"] };
    const { resolver, asked, refused, codeOf } = world(() => Promise.resolve(inside));
    expect(await Promise.all([codeOf("a.example.org"), codeOf("a.example.org")])).to.deep.equal([3, 3]);
    expect(asked).to.deep.equal(["a.example.org"]);
    expect(refused).to.deep.equal(["metadata", "metadata"]);
    expect(resolver.refusedNames.map(({ name, count }) => [name, count])).to.deep.equal([["a.example.org", 2]]);
  });

  it("asks nobody for what no rule has, and for no more new names than so many a second", async () => {
    const { resolver, asked, refused, codeOf } = world(() => Promise.resolve(found));
    for (const name of ["example.org", "a.example.net", "aexample.org"]) expect(await codeOf(name), name).to.equal(3);
    expect(asked).to.deep.equal([]);
    expect(refused).to.deep.equal(["name", "name", "name"]);
    for (let at = 0; at < 200; at += 1) await codeOf(`x${String(at)}.example.org`);
    expect(asked.length).to.be.within(100, 190);
    expect(refused).to.include("dns");
    expect(resolver.refusedNames.map(({ name }) => name)).to.deep.equal([
      "aexample.org",
      "a.example.net",
      "example.org",
    ]);
  });
});
