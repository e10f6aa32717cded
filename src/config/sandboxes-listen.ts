/** `[sandboxes]`, as far as it is about the port: where it is, and who may call. */
import * as z from "zod";
import { RuntimeError } from "../base/errors.js";
import { isLoopback, listenUrl, shownUrl, type ListenUrl } from "./listen-url.js";
import { absolutePath, oneOf, setting, whole, type Setting, yesOrNo } from "./setting.js";

export interface SandboxPortConfig {
  /** None: the agents' edge is off. */
  readonly listen: readonly ListenUrl[];
  /** Permissions of Unix sockets. */
  readonly socketMode: number;
  /** known: pods of this node and its root. anyone: whoever can open the socket is tenant "local". */
  readonly unixCallers: "known" | "anyone";
  /** Undefined: callers from pods of other runtimes are refused. */
  readonly kubelet: KubeletConfig | undefined;
  /** Names by which the port is called, beside localhost and addresses: "box.example.org", "*.box.example.org". */
  readonly hosts: readonly string[];
  /** Web pages that may call, by their origin. */
  readonly origins: readonly string[];
  /** PEM files; undefined: no TLS. */
  readonly tls: SandboxPortTls | undefined;
  /** Tokens may travel without TLS beyond the loopback. */
  readonly plain: boolean;
  readonly maxConnections: number;
  readonly maxConnectionsOfPeer: number;
  /** By the name of their owner. */
  readonly tokens: Readonly<Record<string, TokenConfig>>;
}

export interface SandboxPortTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Whose client certificates stand for a token; undefined: nobody's. */
  readonly clientCaFile: string | undefined;
}

/** Whom to ask for the namespaces of pods that another runtime runs. */
export interface KubeletConfig {
  readonly url: string;
  /** In PEM: for https. */
  readonly caFile: string | undefined;
  readonly tokenFile: string | undefined;
}

export interface TokenConfig {
  /** Its first line is the token; undefined: a client certificate with the owner's name stands for it, or a variable. */
  readonly file: string | undefined;
  /** Of the daemon's environment, whose value is the token. */
  readonly variable: string | undefined;
  readonly tenant: string;
}

function file(about: string): Setting<string> {
  const schema = z.union([z.literal(""), z.string().regex(absolutePath)]);
  return setting(schema, "", 'an absolute path, or "" for none', about);
}

/** What a namespace of Kubernetes and a name in a log line may be. */
const name = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
const hostName = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
/** Of this node alone: its answer says who somebody is. */
const kubeletUrl = /^https?:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d{1,5}$/;
const origin = /^https?:\/\/[^/?#\s]+$/;

const tokenSchema = z.strictObject({
  token_file: z.string().regex(absolutePath).optional(),
  token_env: z
    .string()
    .regex(/^[A-Za-z_]\w*$/)
    .optional(),
  tenant: z.string().regex(name).optional(),
});

/** In the order in which `config default` shows them. */
export const sandboxPortSettings = {
  "sandboxes.listen": setting(
    z.array(z.string().refine((text) => listenUrl(text) !== undefined)).max(16),
    [],
    'a list of "tcp://IP:PORT", "unix:///PATH", "vsock://:PORT"',
    "Where the agents' edge is served, gRPC and HTTP/1.1 on each. Empty: it is off. Beyond the loopback it needs tokens.",
  ),
  "sandboxes.socket_mode": setting(
    z.string().regex(/^0[0-7]{3}$/),
    "0660",
    'four octal digits ("0666" lets programs of pods call that are not root)',
    "Permissions of its Unix sockets. Who calls is known by the kernel's word, whatever they are.",
  ),
  "sandboxes.unix_callers": oneOf(
    ["known", "anyone"],
    "known",
    'Who may call by a Unix socket. known: pods of this node, each its namespace\'s tenant, and root. anyone: tenant "local".',
  ),
  "sandboxes.kubelet": setting(
    z.union([z.literal(""), z.string().regex(kubeletUrl)]),
    "",
    '"https://127.0.0.1:10250", "http://127.0.0.1:10255", or "" for nobody',
    "Who is asked for the namespace of a pod that calls by a Unix socket and is another runtime's; else such are refused.",
  ),
  "sandboxes.kubelet_ca_file": file("Authorities in PEM that kubelet's certificate is from, for https."),
  "sandboxes.kubelet_token_file": file(
    "A token whose owner may get nodes/proxy (or nodes/pods); read for each question.",
  ),
  "sandboxes.hosts": setting(
    z.array(z.string().max(253).regex(hostName)).max(64),
    [],
    'a list of host names ("box.example.org", "*.box.example.org" for those of sandboxes)',
    "Names by which a port without tokens may be called, beside localhost and addresses: web pages must not get to it.",
  ),
  "sandboxes.origins": setting(
    z.array(z.string().max(300).regex(origin)).max(64),
    [],
    'a list of origins ("https://console.example.org")',
    "Web pages that may call.",
  ),
  "sandboxes.tls_cert_file": file("Certificate chain in PEM; with a key, TLS is spoken on all TCP listeners."),
  "sandboxes.tls_key_file": file("Its private key in PEM. Both are read again when they change."),
  "sandboxes.client_ca_file": file(
    "Authorities in PEM: a client certificate with CN=NAME stands for sandboxes.tokens.NAME.",
  ),
  "sandboxes.plain": yesOrNo(
    false,
    "Take tokens without TLS beyond the loopback: only where something else encrypts what comes.",
  ),
  "sandboxes.max_connections": whole(16, 65_536, 1024, "Connections at once, on all listeners together."),
  "sandboxes.max_connections_of_peer": whole(
    1,
    65_536,
    512,
    "Connections at once of one tenant (Unix sockets) or one address (TCP).",
  ),
  "sandboxes.tokens": setting<Readonly<Record<string, z.infer<typeof tokenSchema>>>>(
    z.record(z.string().regex(name), tokenSchema),
    {},
    "tables named [sandboxes.tokens.NAME] with token_file (an absolute path; the file's first line counts, 16 characters at \
least) or token_env (a variable of the daemon's environment) and tenant (NAME unless it is given), or without a token_file for the owner of a client certificate",
    "Who may call by TCP. Take this line away when writing such a table.",
  ),
};

type Settings = typeof sandboxPortSettings;
type Read = <T>(name: keyof Settings, setting: Setting<T>) => T;

/** Errors: `invalidArgument`, with what to do, for a port that would be open to whoever comes. */
export function sandboxPortOf(read: Read): SandboxPortConfig {
  const given = <K extends keyof Settings>(name: K): Settings[K] => sandboxPortSettings[name];
  const listen = read("sandboxes.listen", given("sandboxes.listen")).map(ownListenUrl);
  const tls = tlsOf(
    read("sandboxes.tls_cert_file", given("sandboxes.tls_cert_file")),
    read("sandboxes.tls_key_file", given("sandboxes.tls_key_file")),
    read("sandboxes.client_ca_file", given("sandboxes.client_ca_file")),
  );
  const plain = read("sandboxes.plain", given("sandboxes.plain"));
  const tokens = tokensOf(read("sandboxes.tokens", given("sandboxes.tokens")), tls);
  for (const url of listen) checkOpenness(url, Object.keys(tokens).length > 0, tls !== undefined || plain);
  return {
    ...{ listen, tls, plain, tokens },
    socketMode: Number.parseInt(read("sandboxes.socket_mode", given("sandboxes.socket_mode")), 8),
    unixCallers: read("sandboxes.unix_callers", given("sandboxes.unix_callers")),
    kubelet: kubeletOf(
      read("sandboxes.kubelet", given("sandboxes.kubelet")),
      read("sandboxes.kubelet_ca_file", given("sandboxes.kubelet_ca_file")),
      read("sandboxes.kubelet_token_file", given("sandboxes.kubelet_token_file")),
    ),
    hosts: read("sandboxes.hosts", given("sandboxes.hosts")),
    origins: read("sandboxes.origins", given("sandboxes.origins")),
    maxConnections: read("sandboxes.max_connections", given("sandboxes.max_connections")),
    maxConnectionsOfPeer: read("sandboxes.max_connections_of_peer", given("sandboxes.max_connections_of_peer")),
  };
}

/** What stands for any port (vsock(7)). */
const anyVsockPort = 0xff_ff_ff_ff;
/** Longest path of a Unix socket, without the closing NUL (unix(7)). */
const longestSocketPath = 107;

function ownListenUrl(text: string): ListenUrl {
  const url = listenUrl(text);
  if (url === undefined || (url.kind === "vsock" && url.port >= anyVsockPort)) {
    throw new RuntimeError("invalidArgument", `sandboxes.listen has ${text}, which is no address to listen on`);
  }
  if (url.kind === "unix" && Buffer.byteLength(url.path) > longestSocketPath) {
    throw new RuntimeError("invalidArgument", `sandboxes.listen has ${text}, which is too long for a socket`, {
      hint: `allowed: a path of up to ${String(longestSocketPath)} bytes`,
    });
  }
  return url;
}

function tlsOf(certFile: string, keyFile: string, clientCaFile: string): SandboxPortTls | undefined {
  if ((certFile === "") !== (keyFile === "")) {
    throw new RuntimeError("invalidArgument", "one of sandboxes.tls_cert_file and sandboxes.tls_key_file is missing", {
      hint: "set both, or none",
    });
  }
  if (certFile !== "") return { certFile, keyFile, clientCaFile: clientCaFile === "" ? undefined : clientCaFile };
  if (clientCaFile === "") return undefined;
  throw new RuntimeError("invalidArgument", "sandboxes.client_ca_file is set, and there is no TLS", {
    hint: "set sandboxes.tls_cert_file and sandboxes.tls_key_file, too",
  });
}

function kubeletOf(url: string, caFile: string, tokenFile: string): KubeletConfig | undefined {
  if (url === "") return undefined;
  const isTls = url.startsWith("https:");
  if (isTls && caFile === "") {
    throw new RuntimeError("invalidArgument", `sandboxes.kubelet is ${url}, and nothing says that it is kubelet`, {
      hint: "set sandboxes.kubelet_ca_file: the cluster's authority, or kubelet's own certificate (pki/kubelet.crt)",
    });
  }
  if (!isTls && tokenFile !== "") {
    throw new RuntimeError("invalidArgument", `sandboxes.kubelet is ${url}, and the token would travel in clear`, {
      hint: "ask at https://127.0.0.1:10250, or leave sandboxes.kubelet_token_file out",
    });
  }
  return { url, caFile: isTls ? caFile : undefined, tokenFile: tokenFile === "" ? undefined : tokenFile };
}

function tokensOf(
  given: Readonly<Record<string, z.infer<typeof tokenSchema>>>,
  tls: SandboxPortTls | undefined,
): SandboxPortConfig["tokens"] {
  const tokens: Record<string, TokenConfig> = {};
  for (const [owner, { token_file: tokenFile, token_env: variable, tenant = owner }] of Object.entries(given)) {
    if (tokenFile === undefined && variable === undefined && tls?.clientCaFile === undefined) {
      throw new RuntimeError("invalidArgument", `sandboxes.tokens.${owner} has no token_file`, {
        hint: "set it, or sandboxes.client_ca_file to know its owner by a certificate",
      });
    }
    tokens[owner] = { file: tokenFile, variable, tenant };
  }
  return tokens;
}

function checkOpenness(url: ListenUrl, hasTokens: boolean, isCovered: boolean): void {
  if (url.kind === "unix" || (url.kind === "tcp" && isLoopback(url.host))) return;
  // Of the vsock, which no namespace divides: each user and container of this machine, and virtual machines beside it.
  const reached = url.kind === "vsock" ? "whoever is on this machine reaches" : "others than this machine reach";
  const beyond = `sandboxes.listen has ${shownUrl(url)}, which ${reached}`;
  if (!hasTokens) {
    throw new RuntimeError("invalidArgument", `${beyond}, and there are no tokens: whoever comes would run programs`, {
      hint: "add [sandboxes.tokens.NAME] with token_file, or listen on 127.0.0.1 or on a Unix socket",
    });
  }
  // What comes by a vsock has not left the machine.
  if (!isCovered && url.kind === "tcp") {
    throw new RuntimeError("invalidArgument", `${beyond}, and tokens would travel in clear`, {
      hint: "set sandboxes.tls_cert_file and sandboxes.tls_key_file, or sandboxes.plain = true where something else encrypts",
    });
  }
}
