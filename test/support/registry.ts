/**
 * A real registry, the distribution's docker-registry package, on a free port of 127.0.0.1 with a temporary store; and
 * a client of its push side, so that tests can put images of their own making into it.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificate } from "./certificates.js";
import { freePort } from "./free-port.js";
import { sha256, type BuiltLayer } from "./tar-builder.js";

export interface TestRegistry {
  /** "127.0.0.1:PORT", or with the address that was asked for: the first part of a reference. */
  readonly host: string;
  /** Its content: another registry may serve it too. */
  readonly data: string;
  stop(): Promise<void>;
}

export interface TestRegistryOptions {
  /** Where it listens; else at the loopback. */
  readonly address?: string;
  /** Basic auth with this line of an htpasswd file (bcrypt: `htpasswd -Bbn user password`). */
  readonly htpasswd?: string;
  /** Serves what another registry stores. */
  readonly data?: string;
  readonly tls?: Certificate;
  /** With `tls`: clients must show a certificate of this authority (PEM file). */
  readonly clientAuthority?: string;
  /** A mirror that takes what it hasn't from this registry ("http://127.0.0.1:PORT"); nothing can be pushed. */
  readonly mirrorOf?: string;
  /** Tokens of this server, signed by what this authority (PEM file) vouches for. */
  readonly tokens?: {
    readonly realm: string;
    readonly service: string;
    readonly issuer: string;
    readonly authority: string;
  };
}

export interface PushedImage {
  /** "127.0.0.1:PORT/name:tag". */
  readonly reference: string;
  /** Of the manifest or, for `pushIndex`, of the index. */
  readonly digest: string;
  /** Of the config: the image's id. */
  readonly configDigest: string;
}

export interface ImageSource {
  readonly layers: readonly BuiltLayer[];
  /** Members of the config's "config" object: Cmd, Env, User … */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly architecture?: string;
  /** Docker's media types in place of the OCI's. */
  readonly docker?: boolean;
}

const startLimitMs = 15_000;
const stopLimitMs = 5_000;
const program = "docker-registry";
const loopback = "127.0.0.1";

/** Throws where the package docker-registry is not installed. */
export async function startRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const { address = loopback } = options;
  const directory = await mkdtemp(join(tmpdir(), "a3s-test-registry-"));
  const port = await freePort();
  const config = join(directory, "config.yml");
  await writeFile(config, registryConfig(directory, port, options));
  if (options.htpasswd !== undefined) await writeFile(join(directory, "htpasswd"), `${options.htpasswd}\n`);
  const child = spawn(program, ["serve", config], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said = (said + chunk).slice(-4000);
  });
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => {
      resolve(`${error.message} (install the package docker-registry)`);
    });
    child.once("exit", (code, signal) => {
      resolve(`exit ${String(code ?? signal)}`);
    });
  });
  const stop = async (): Promise<void> => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), stopLimitMs);
      await exited;
      clearTimeout(timer);
    }
    await rm(directory, { recursive: true, force: true });
  };
  const failure = await Promise.race([exited, listening(address, port)]);
  if (failure !== null) {
    await stop();
    throw new Error(`${program} did not start: ${failure}\n${said}`);
  }
  return { host: `${address}:${port}`, data: options.data ?? join(directory, "data"), stop };
}

/** Pushes config, layers and manifest, and tags the manifest; the headers go with every request. */
export async function pushImage(
  host: string,
  name: string,
  tag: string,
  source: ImageSource,
  headers: Readonly<Record<string, string>> = {},
): Promise<PushedImage> {
  const { config, manifest, mediaType } = describeImage(source);
  const base = `http://${host}/v2/${name}`;
  for (const layer of source.layers) await pushBlob(base, layer.bytes, layer.digest, headers);
  await pushBlob(base, config, sha256(config), headers);
  await pushManifest(base, tag, mediaType, manifest, headers);
  return { reference: `${host}/${name}:${tag}`, digest: sha256(manifest), configDigest: sha256(config) };
}

/** Pushes an image of each platform given and an index of them under the tag. */
export async function pushIndex(
  host: string,
  name: string,
  tag: string,
  sources: readonly ImageSource[],
): Promise<PushedImage> {
  const docker = sources.some((source) => source.docker === true);
  const base = `http://${host}/v2/${name}`;
  const manifests: unknown[] = [];
  let configDigest = "";
  for (const [position, source] of sources.entries()) {
    const { manifest, mediaType, config } = describeImage(source);
    await pushImage(host, name, `part${position}`, source);
    const architecture = source.architecture ?? "amd64";
    if (architecture === "amd64") configDigest = sha256(config);
    manifests.push({
      mediaType,
      digest: sha256(manifest),
      size: manifest.length,
      platform: { os: "linux", architecture },
    });
  }
  const mediaType = docker
    ? "application/vnd.docker.distribution.manifest.list.v2+json"
    : "application/vnd.oci.image.index.v1+json";
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  await pushManifest(base, tag, mediaType, index, {});
  return { reference: `${host}/${name}:${tag}`, digest: sha256(index), configDigest };
}

/** An OCI artifact as `oras push` makes one: files as blobs of a type of their own, and an empty config. */
export async function pushArtifact(
  host: string,
  name: string,
  tag: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const base = `http://${host}/v2/${name}`;
  const descriptor = async (mediaType: string, content: string, annotations = {}) => {
    await pushBlob(base, Buffer.from(content), sha256(content), {});
    return { mediaType, digest: sha256(content), size: Buffer.byteLength(content), annotations };
  };
  const layers: unknown[] = [];
  for (const [title, content] of Object.entries(files)) {
    layers.push(await descriptor("application/vnd.example.file", content, { "org.opencontainers.image.title": title }));
  }
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const config = await descriptor("application/vnd.oci.empty.v1+json", "{}");
  const artifactType = "application/vnd.example+type";
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, artifactType, config, layers }));
  await pushManifest(base, tag, mediaType, manifest, {});
  return `${host}/${name}:${tag}`;
}

export interface DescribedImage {
  readonly config: Buffer;
  readonly manifest: Buffer;
  readonly mediaType: string;
}

/** Config and manifest of an image as bytes, for whoever serves them. */
export function describeImage(source: ImageSource): DescribedImage {
  const docker = source.docker === true;
  const config = Buffer.from(
    JSON.stringify({
      architecture: source.architecture ?? "amd64",
      os: "linux",
      config: source.config ?? {},
      rootfs: { type: "layers", diff_ids: source.layers.map((layer) => layer.diffId) },
    }),
  );
  const mediaType = docker
    ? "application/vnd.docker.distribution.manifest.v2+json"
    : "application/vnd.oci.image.manifest.v1+json";
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: {
        mediaType: docker
          ? "application/vnd.docker.container.image.v1+json"
          : "application/vnd.oci.image.config.v1+json",
        digest: sha256(config),
        size: config.length,
      },
      layers: source.layers.map((layer) => ({
        mediaType: docker ? dockerLayerType(layer.mediaType) : layer.mediaType,
        digest: layer.digest,
        size: layer.bytes.length,
      })),
    }),
  );
  return { config, manifest, mediaType };
}

function dockerLayerType(ociType: string): string {
  return ociType.endsWith("+gzip")
    ? "application/vnd.docker.image.rootfs.diff.tar.gzip"
    : "application/vnd.docker.image.rootfs.diff.tar";
}

type Headers = Readonly<Record<string, string>>;

async function pushBlob(base: string, bytes: Uint8Array, digest: string, headers: Headers): Promise<void> {
  const begun = await fetch(`${base}/blobs/uploads/`, { method: "POST", headers });
  await expectStatus(begun, 202, "begin upload");
  const location = new URL(begun.headers.get("location") ?? "", base);
  location.searchParams.set("digest", digest);
  const done = await fetch(location, {
    method: "PUT",
    headers: { ...headers, "content-type": "application/octet-stream" },
    body: new Uint8Array(bytes),
  });
  await expectStatus(done, 201, `upload ${digest}`);
}

async function pushManifest(
  base: string,
  tag: string,
  mediaType: string,
  manifest: Uint8Array,
  headers: Headers,
): Promise<void> {
  const done = await fetch(`${base}/manifests/${tag}`, {
    method: "PUT",
    headers: { ...headers, "content-type": mediaType },
    body: new Uint8Array(manifest),
  });
  await expectStatus(done, 201, `push manifest ${tag}`);
}

async function expectStatus(response: Response, wanted: number, what: string): Promise<void> {
  const text = await response.text();
  if (response.status !== wanted) throw new Error(`${what}: status ${response.status}, not ${wanted}: ${text}`);
}

function registryConfig(directory: string, port: number, options: TestRegistryOptions): string {
  const { htpasswd, tls, clientAuthority, mirrorOf, tokens } = options;
  const http = {
    addr: `${options.address ?? loopback}:${port}`,
    ...(tls !== undefined && {
      tls: {
        certificate: tls.certFile,
        key: tls.keyFile,
        ...(clientAuthority !== undefined && { clientcas: [clientAuthority] }),
      },
    }),
  };
  const auth = {
    ...(htpasswd !== undefined && { htpasswd: { realm: "test", path: join(directory, "htpasswd") } }),
    ...(tokens !== undefined && {
      token: { realm: tokens.realm, service: tokens.service, issuer: tokens.issuer, rootcertbundle: tokens.authority },
    }),
  };
  // JSON is YAML.
  return JSON.stringify({
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: options.data ?? join(directory, "data") }, delete: { enabled: true } },
    http,
    ...(Object.keys(auth).length > 0 && { auth }),
    ...(mirrorOf !== undefined && { proxy: { remoteurl: mirrorOf } }),
  });
}

/** Null once the registry answers; what is wrong when it doesn't in time. */
async function listening(address: string, port: number): Promise<string | null> {
  const deadline = Date.now() + startLimitMs;
  while (Date.now() < deadline) {
    const socket = connect(port, address);
    const answered = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => {
        resolve(true);
      });
      socket.once("error", () => {
        resolve(false);
      });
    });
    socket.destroy();
    if (answered) return null;
    await delay(50);
  }
  return `no answer on port ${port} in ${startLimitMs} ms`;
}
