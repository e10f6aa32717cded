import { expect } from "chai";
import { Bucket } from "../../../src/llm/limits/bucket.js";
import { ByteBudget } from "../../../src/llm/limits/byte-budget.js";
import { Quota } from "../../../src/llm/limits/quota.js";
import { Refusal } from "../../../src/llm/refusal.js";
import { checkModel, RequestScan } from "../../../src/llm/request/scan.js";
import { splitTarget, targetOf } from "../../../src/llm/request/target.js";

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof Refusal) return `${thrown.reason} ${String(thrown.status)}`;
    throw thrown;
  }
  return "none";
}

function modelIn(text: string): string {
  const scan = new RequestScan();
  scan.write(Buffer.from(text));
  return scan.end();
}

describe("what a Box asks a provider for", () => {
  const anthropic = { kind: "anthropic", name: "anthropic" } as const;
  const openai = { kind: "openai", name: "openai" } as const;
  const gemini = { kind: "gemini", name: "gemini" } as const;

  it("is one of the paths that are served, as it is written there", () => {
    expect(targetOf("POST", "/v1/messages?beta=true", anthropic).path).to.equal("/v1/messages?beta=true");
    expect(targetOf("POST", "/v1/chat/completions", openai).path).to.equal("/chat/completions");
    const stream = targetOf("POST", "/v1beta/models/gemini-9:streamGenerateContent?alt=sse", gemini);
    expect([stream.model, stream.path]).to.deep.equal([
      "gemini-9",
      "/v1beta/models/gemini-9:streamGenerateContent?alt=sse",
    ]);
  });

  it("is nothing else, in whatever way it is written", () => {
    const others = [
      ...["/v1/files", "/v1/messages/", "//v1/messages", "/v1/./messages", "/v1/messages/../files", "/v1/%6dessages"],
      ...["/v1/messages/batches", "/v1/organizations", "/V1/messages", "/v1/messages;x", "/v1/models/../../admin", ""],
      ...["/v1/models/a/b", "/v1/models/..", "/v1/messages\\..\\files", "/v1/messages%2f..%2ffiles"],
    ];
    for (const path of others)
      expect(
        refusal(() => targetOf("POST", path, anthropic)),
        path,
      ).to.equal("path 404");
    expect(refusal(() => targetOf("DELETE", "/v1/models/gpt", openai))).to.equal("path 405");
    expect(refusal(() => targetOf("GET", "/v1/messages", anthropic))).to.equal("path 405");
  });

  it("has no credentials and no other method in its query", () => {
    const path = "/v1beta/models/g:generateContent?alt=json&key=x&%6bey=y&KEY=z&access_token=a&$httpMethod=DELETE&b=1";
    expect(targetOf("POST", path, gemini).path).to.equal("/v1beta/models/g:generateContent?alt=json&b=1");
  });

  it("is a path, and no URL of another place", () => {
    for (const url of ["http://evil.example/anthropic/v1/messages", "*", "evil.example:443"]) {
      expect(
        refusal(() => splitTarget(url)),
        url,
      ).to.equal("host 421");
    }
    expect(splitTarget("/anthropic/v1/messages")).to.deep.equal({ name: "anthropic", rest: "/v1/messages" });
  });
});

describe("the model that a body names", () => {
  it("is found wherever it stands", () => {
    expect(modelIn('{"model":"a"}')).to.equal("a");
    expect(modelIn('{"max_tokens":1,"messages":[{"model":"b"}],"model":"c"}')).to.equal("c");
    expect(modelIn("{}")).to.equal("");
  });

  it("has no other beside it, in whatever letters a reader takes for those of its name", () => {
    for (const name of ["models", "MODELS", "model\u017f", "fallbac\u212as", "fallback\u017f"]) {
      const scan = new RequestScan();
      scan.write(Buffer.from(JSON.stringify({ model: "a", [name]: ["b"] })));
      expect([scan.end(), scan.hasOtherChoices], name).to.deep.equal(["a", true]);
    }
  });

  it("is named once, so that no other reader finds another", () => {
    for (const body of ['{"model":"a","model":"b"}', '{"model":"a","mod\\u0065l":"b"}', '{"model":"a","Model":"b"}']) {
      expect(
        refusal(() => modelIn(body)),
        body,
      ).to.equal("body 400");
    }
    for (const body of ['{"Model":"a"}', '{"model":{"id":"a"}}', '{"model":1}', '{"model":"a"', "model=a", ""]) {
      expect(
        refusal(() => modelIn(body)),
        body,
      ).to.equal("body 400");
    }
  });

  it("is one of those that are allowed, alone", () => {
    const some = { name: "p", models: ["claude-*", "exact"] };
    for (const model of ["claude-9", "exact"])
      expect(
        refusal(() => {
          checkModel(model, false, some);
        }),
      ).to.equal("none");
    for (const model of ["", "exact2", "Claude-9"]) {
      expect(
        refusal(() => {
          checkModel(model, false, some);
        }),
        model,
      ).to.equal("model 403");
    }
    expect(
      refusal(() => {
        checkModel("exact", true, some);
      }),
    ).to.equal("model 403");
    expect(
      refusal(() => {
        checkModel("", true, { name: "p", models: [] });
      }),
    ).to.equal("none");
  });
});

describe("limits of calls to models", () => {
  it("give so many a minute, and say when there is one again", () => {
    const bucket = new Bucket(60, 0);
    for (let at = 0; at < 60; at += 1) bucket.take(1, 0);
    expect(bucket.waitMs(0)).to.equal(1000);
    expect(bucket.waitMs(1000)).to.equal(0);
    expect(bucket.isFull(1000)).to.equal(false);
    expect(bucket.isFull(60_000)).to.equal(true);
  });

  it("count what was found to be used afterwards, as a debt", () => {
    const bucket = new Bucket(600, 0);
    bucket.take(1200, 0);
    expect(bucket.waitMs(0)).to.equal(60_100);
  });

  it("hold a Box to its own, and all of a tenant to the tenant's, and take nothing where they refuse", () => {
    let nowMs = 0;
    const no = { requestsAMinute: 0, tokensAMinute: 0, concurrent: 0 };
    const limits = { box: { ...no, concurrent: 2 }, tenant: { ...no, concurrent: 3, tokensAMinute: 60 } };
    const quota = new Quota(limits, () => nowMs);
    const admit = (id: string, tenant = "t") => quota.admit({ id, tenant });
    const first = admit("a");
    admit("a");
    expect(refusal(() => admit("a"))).to.equal("concurrent 429");
    admit("b");
    expect(refusal(() => admit("b"))).to.equal("concurrent 429");
    expect(refusal(() => admit("c", "other"))).to.equal("none");
    first.end(90);
    expect(refusal(() => admit("b"))).to.equal("tokens 429");
    nowMs = 31_000;
    expect(refusal(() => admit("b"))).to.equal("none");
  });

  it("say in how many seconds it is worth another try", () => {
    const no = { requestsAMinute: 0, tokensAMinute: 0, concurrent: 0 };
    const quota = new Quota({ box: { ...no, requestsAMinute: 2 }, tenant: no }, () => 0);
    for (const id of ["a", "a"]) quota.admit({ id, tenant: "t" }).end(0);
    try {
      quota.admit({ id: "a", tenant: "t" });
      expect.fail("it was admitted");
    } catch (thrown) {
      expect(thrown).to.be.instanceOf(Refusal).and.to.have.property("retryAfterSeconds", 30);
    }
  });

  it("forget Boxes that have nothing missing, however many come", () => {
    const no = { requestsAMinute: 0, tokensAMinute: 0, concurrent: 0 };
    const quota = new Quota({ box: { ...no, requestsAMinute: 1 }, tenant: no }, () => nowMs);
    let nowMs = 0;
    for (let at = 0; at < 10_000; at += 1) {
      nowMs += 1000;
      quota.admit({ id: String(at), tenant: String(at) }).end(0);
    }
    expect(quota.size).to.be.lessThan(600);
  });

  it("count every request of a Box, whatever is forgotten where its tenant is new", () => {
    const no = { requestsAMinute: 0, tokensAMinute: 0, concurrent: 0 };
    const quota = new Quota({ box: { ...no, concurrent: 1 }, tenant: no }, () => 0);
    for (let at = 0; at < 300; at += 1) quota.admit({ id: String(at), tenant: String(at) });
    quota.admit({ id: "a", tenant: "first" });
    expect(refusal(() => quota.admit({ id: "a", tenant: "second" }))).to.equal("concurrent 429");
  });

  it("bound the bytes that are held for one Box, and for all", () => {
    const budget = new ByteBudget(10, 15);
    expect(budget.take("a", 10)).to.equal(true);
    expect(budget.take("a", 1)).to.equal(false);
    expect(budget.take("b", 6)).to.equal(false);
    expect(budget.take("b", 5)).to.equal(true);
    budget.giveBack("a", 10);
    expect(budget.take("b", 5)).to.equal(true);
  });
});
