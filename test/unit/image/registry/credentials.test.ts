import { expect } from "chai";
import { credentialsOf } from "../../../../src/image/registry/credentials.js";

const none = { username: "", password: "", auth: "", identityToken: "", registryToken: "" };

describe("credentialsOf", () => {
  it("is anonymous without auth, and with an empty one", () => {
    expect(credentialsOf(undefined)).to.deep.equal({ kind: "anonymous" });
    expect(credentialsOf(none)).to.deep.equal({ kind: "anonymous" });
  });

  it("reads each form that CRI has", () => {
    expect(credentialsOf({ ...none, username: "u", password: "p" })).to.deep.equal({
      kind: "password",
      username: "u",
      password: "p",
    });
    const auth = Buffer.from("u:p:q\0\0").toString("base64");
    expect(credentialsOf({ ...none, auth })).to.deep.equal({ kind: "password", username: "u", password: "p:q" });
    expect(credentialsOf({ ...none, identityToken: "t" })).to.deep.equal({ kind: "identity", token: "t" });
    expect(credentialsOf({ ...none, registryToken: "t" })).to.deep.equal({ kind: "bearer", token: "t" });
  });

  it("refuses an auth that is not user:password, without showing it", () => {
    const auth = Buffer.from("secret").toString("base64");
    expect(() => credentialsOf({ ...none, auth }))
      .to.throw(/not base64 of user:password/)
      .with.property("message")
      .that.does.not.include("secret");
  });
});
