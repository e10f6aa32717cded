import { expect } from "chai";
import { credentialsOf } from "../../../../src/image/registry/credentials.js";

const none = { username: "", password: "", auth: "", identityToken: "", registryToken: "" };

describe("credentialsOf", () => {
  it("is anonymous with an empty auth", () => {
    expect(credentialsOf(none)).to.deep.equal({ kind: "anonymous" });
  });

  it("reads each form that CRI has", () => {
    const password = { kind: "password", username: "u", password: "p" };
    expect(credentialsOf({ ...none, username: "u", password: "p" })).to.deep.equal(password);
    const auth = Buffer.from("u:p:q\0\0").toString("base64");
    expect(credentialsOf({ ...none, auth })).to.deep.equal({ ...password, password: "p:q" });
    expect(credentialsOf({ ...none, identityToken: "t" })).to.deep.equal({ kind: "identity", token: "t" });
    expect(credentialsOf({ ...none, registryToken: "t" })).to.deep.equal({ kind: "bearer", token: "t" });
  });

  it("takes a password before an identity token, and that before a user alone", () => {
    expect(credentialsOf({ ...none, username: "u", password: "p", identityToken: "t" })).to.include({
      kind: "password",
    });
    expect(credentialsOf({ ...none, username: "u", identityToken: "t" })).to.include({ kind: "identity" });
  });

  it("refuses an auth that is not user:password, without showing it", () => {
    const auth = Buffer.from("secret").toString("base64");
    expect(() => credentialsOf({ ...none, auth }))
      .to.throw(/not base64 of user:password/)
      .with.property("message")
      .that.does.not.include("secret");
  });
});
