/** What a registry's statuses mean. Source: OCI distribution spec 1.1, "Error Codes". */
import { RuntimeError } from "../../base/errors.js";
import type { HttpAnswer } from "./http.js";

const maxErrorBytes = 64 * 1024;

/** Takes the answer away and says what it means. `missing` is the error for 404. */
export async function answerFailure(answer: HttpAnswer, missing: () => RuntimeError): Promise<RuntimeError> {
  const { status, url } = answer;
  const { host } = url;
  if (status === 404) {
    await answer.discard();
    return missing();
  }
  const said = await textFor(answer);
  if (status === 401) {
    return new RuntimeError("failedPrecondition", `${host} refuses access (401)${said}`, {
      hint: "check the credentials; many registries answer so for names that they don't have",
    });
  }
  if (status === 403) {
    return new RuntimeError("failedPrecondition", `${host} forbids access (403)${said}`, {
      hint: "the credentials may not read this repository, or this address may not reach the registry",
    });
  }
  if (status === 429) {
    return new RuntimeError("unavailable", `${host} limits how often it is asked (429)${said}`, {
      hint: `pull again ${retryText(answer)}, with credentials, or through a mirror`,
    });
  }
  if (status === 400 && /HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS port/i.test(said)) {
    return new RuntimeError("unavailable", `${host} wants TLS and was asked without`, {
      hint: "take it out of image.plain_http, or write https:// in its hosts.toml",
    });
  }
  const hint = status >= 500 ? `pull again ${retryText(answer)}` : "check that the host is a registry";
  return new RuntimeError("unavailable", `${host} answers ${status}${said}`, { hint });
}

/** A page where an image should be: a proxy's, a login's, a shop's. */
export function isWebPage(answer: HttpAnswer): boolean {
  return mediaTypeOf(answer) === "text/html";
}

export async function webPageFailure(answer: HttpAnswer): Promise<RuntimeError> {
  await answer.discard();
  return new RuntimeError("unavailable", `${answer.url.host} sends a web page, and no part of an image`, {
    hint: "check that the host is a registry, and that no proxy or login page is in between",
  });
}

export function mediaTypeOf(answer: HttpAnswer): string {
  return (answer.header("content-type").split(";")[0] ?? "").trim().toLowerCase();
}

function retryText(answer: HttpAnswer): string {
  const header = answer.header("retry-after");
  return /^[0-9]{1,9}$/.test(header) ? `in ${header} s` : "later";
}

/**
 * Who has been sent to another origin shows its status alone: a registry could send us to any service that this node
 * reaches, and whoever may pull would read what it answers.
 */
async function textFor(answer: HttpAnswer): Promise<string> {
  if (answer.isElsewhere !== true) return await errorText(answer);
  await answer.discard();
  return "";
}

/** ": what the registry says", in one short line; "" when it says nothing that can be shown. */
async function errorText(answer: HttpAnswer): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of answer.body) {
      chunks.push(chunk);
      sizeBytes += chunk.byteLength;
      if (sizeBytes > maxErrorBytes) return "";
    }
  } catch {
    return ""; // its status says enough
  }
  const text = Buffer.concat(chunks).toString("utf8");
  const message = /"message"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? (text.startsWith("<") ? "" : text);
  // Control characters would break a log line apart.
  const line = message.replace(/[^\x20-\x7e]+/g, " ").trim();
  return line === "" || line.startsWith("{") ? "" : `: ${line.slice(0, 200)}`;
}
