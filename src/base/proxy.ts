/**
 * HTTP_PROXY, HTTPS_PROXY and NO_PROXY, also in lower case, with the meaning that Go gives them
 * (golang.org/x/net/http/httpproxy): what a node's unit file says for containerd holds for us.
 */
import { BlockList, isIP } from "node:net";
import { RuntimeError } from "./errors.js";

export interface ProxySettings {
  readonly http: URL | undefined;
  readonly https: URL | undefined;
  /** True for what is to be reached directly. */
  readonly bypasses: (url: URL) => boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** `invalidArgument` for a proxy that is no URL; its text may hold a password and is not shown. */
export function proxyFromEnvironment(environment: Environment): ProxySettings {
  return {
    http: readProxy(environment, "HTTP_PROXY"),
    https: readProxy(environment, "HTTPS_PROXY"),
    bypasses: readNoProxy(either(environment, "NO_PROXY")),
  };
}

/** The proxy to go through, or undefined. */
export function proxyFor(settings: ProxySettings, url: URL): URL | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  return proxy === undefined || settings.bypasses(url) ? undefined : proxy;
}

function either(environment: Environment, name: string): string {
  const upper = environment[name] ?? "";
  return upper === "" ? (environment[name.toLowerCase()] ?? "") : upper;
}

/** "proxy.example:3128" is an HTTP proxy. */
function readProxy(environment: Environment, name: string): URL | undefined {
  const text = either(environment, name);
  if (text === "") return undefined;
  try {
    return new URL(/^(?:https?|socks5):\/\//.test(text) ? text : `http://${text}`);
  } catch (cause) {
    throw new RuntimeError("invalidArgument", `${name} in the environment is not a proxy`, {
      hint: "write it as http://HOST:PORT",
      cause,
    });
  }
}

interface Target {
  readonly name: string;
  readonly port: string;
  readonly family: "ipv4" | "ipv6" | undefined;
}

function readNoProxy(text: string): (url: URL) => boolean {
  const rules = text
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== "");
  const all = rules.includes("*");
  const matchers = rules.map(readRule);
  return (url) => {
    const target = targetOf(url);
    return all || isThisMachine(target) || matchers.some((matches) => matches(target));
  };
}

function targetOf(url: URL): Target {
  const name = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  return { name, port, family: familyOf(name) };
}

function familyOf(name: string): "ipv4" | "ipv6" | undefined {
  const kind = isIP(name);
  return kind === 0 ? undefined : kind === 4 ? "ipv4" : "ipv6";
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Never through a proxy, whatever the variables say. */
function isThisMachine({ name, family }: Target): boolean {
  return name === "localhost" || (family !== undefined && loopback.check(name, family));
}

/** An entry of NO_PROXY; one that can't be read matches nothing. */
function readRule(entry: string): (target: Target) => boolean {
  const subnet = readSubnet(entry);
  if (subnet !== undefined) return ({ name, family }) => family !== undefined && subnet.check(name, family);
  const withPort = /^(\[[^\]]*\]|[^:]*):([0-9]+)$/.exec(entry);
  const host = (withPort?.[1] ?? entry).replace(/^\[(.*)\]$/, "$1");
  const port = withPort?.[2];
  const samePort = (target: Target): boolean => port === undefined || port === target.port;
  const family = familyOf(host);
  if (family !== undefined) {
    const address = new BlockList();
    address.addAddress(host, family);
    return (target) => target.family !== undefined && address.check(target.name, target.family) && samePort(target);
  }
  // ".example.com" and "*.example.com" mean what is below it only, "example.com" also itself.
  const suffix = host.replace(/^\*\./, ".");
  if (suffix === "" || suffix === ".") return () => false;
  const below = suffix.startsWith(".") ? suffix : `.${suffix}`;
  return (target) => (target.name.endsWith(below) || target.name === suffix) && samePort(target);
}

function readSubnet(entry: string): BlockList | undefined {
  const [, address = "", bits = ""] = /^([0-9a-f.:]+)\/([0-9]{1,3})$/.exec(entry) ?? [];
  const family = familyOf(address);
  if (family === undefined || Number(bits) > (family === "ipv4" ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, Number(bits), family);
  return list;
}
