import { RuntimeError } from "../../../base/errors.js";

const mostUser = 256;

/** Of `Authorization: Basic base64("user:")`; "": the sandbox's. No password is looked at: who may was seen before. */
export function userOf(authorization: string | undefined): string {
  const [, encoded] = /^Basic ([A-Za-z0-9+/=_-]*)$/i.exec(authorization ?? "") ?? [];
  if (encoded === undefined) return "";
  const text = Buffer.from(encoded, "base64").toString("utf8");
  // "user:group:" has a group: what is behind the last colon is the password.
  const user = text.slice(0, Math.max(text.lastIndexOf(":"), 0));
  if (user.length > mostUser || /[\0\n]/.test(user)) throw new RuntimeError("unauthenticated", "no such user can be");
  return user;
}
