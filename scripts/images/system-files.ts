/** What the packages' own scripts would write on a machine. They are not run: each file has its line here. */
import type { ImageFile } from "../setup/image-layer.js";
import type { Package } from "./deb.js";
import type { FileTree } from "./file-tree.js";

/** Whom programs run as where nobody says otherwise. */
export const user = { name: "user", id: 1000, home: "/home/user" } as const;

/** What update-alternatives would choose. */
const alternatives = [
  ["awk", "/usr/bin/mawk"],
  ["nawk", "/usr/bin/mawk"],
  ["pager", "/usr/bin/less"],
  ["which", "/usr/bin/which.debianutils"],
] as const;

const directories = [
  ...["etc/opt", "home", "media", "mnt", "opt", "srv", "var/opt", "var/log", "usr/local/share/ca-certificates"],
  ...["bin", "etc", "games", "include", "lib", "libexec", "sbin", "share", "src"].map((name) => `usr/local/${name}`),
];

export function addSystemFiles(tree: FileTree, packages: readonly Package[]): void {
  for (const path of directories) tree.directory(path);
  tree.directory("var/mail");
  link(tree, "var/run", "/run");
  link(tree, "var/lock", "/run/lock");
  tree.put({ path: "run/lock", kind: "directory", mode: 0o1777 });
  addAccounts(tree);
  addAlternatives(tree);
  addCertificates(tree);
  addShells(tree);
  addPam(tree);
  addPython(tree);
  copy(tree, "usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf");
  link(tree, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
  text(tree, "etc/timezone", "Etc/UTC\n");
  text(tree, "var/lib/dpkg/status", status(packages));
}

function addAccounts(tree: FileTree): void {
  const passwd = master(tree, "passwd").map((line) => line.replace(/^([^:]*):[^:]*:/, "$1:x:"));
  const group = master(tree, "group").map((line) => line.replace(/^([^:]*):[^:]*:/, "$1:x:"));
  passwd.push(`${user.name}:x:${String(user.id)}:${String(user.id)}::${user.home}:/bin/bash`);
  group.push(`${user.name}:x:${String(user.id)}:`);
  const shadowGroup = Number(group.find((line) => line.startsWith("shadow:"))?.split(":")[2] ?? "0");
  const secret = { mode: 0o640, gid: shadowGroup };
  text(tree, "etc/passwd", lines(passwd));
  text(tree, "etc/group", lines(group));
  // Nobody has a password, so nobody logs in by one.
  text(tree, "etc/shadow", lines(passwd.map((line) => `${line.split(":")[0] ?? ""}:*:19000:0:99999:7:::`)), secret);
  text(tree, "etc/gshadow", lines(group.map((line) => `${line.split(":")[0] ?? ""}:*::`)), secret);
  copy(tree, "usr/share/base-files/dot.profile", "root/.profile");
  copy(tree, "usr/share/base-files/dot.bashrc", "root/.bashrc");
  copy(tree, "usr/share/base-files/profile", "etc/profile");
  const own = { uid: user.id, gid: user.id };
  const home = user.home.slice(1);
  tree.put({ path: home, kind: "directory", mode: 0o755, ...own });
  for (const path of tree.below("etc/skel")) {
    text(tree, `${home}/${path.slice("etc/skel/".length)}`, tree.content(path), own);
  }
}

function master(tree: FileTree, name: "passwd" | "group"): string[] {
  return tree.content(`usr/share/base-passwd/${name}.master`).toString().trimEnd().split("\n");
}

function addAlternatives(tree: FileTree): void {
  for (const [name, program] of alternatives) {
    if (!tree.has(program.slice(1))) throw new Error(`${name}: no package has ${program}`);
    link(tree, `etc/alternatives/${name}`, program);
    link(tree, `usr/bin/${name}`, `/etc/alternatives/${name}`);
  }
}

/** All of Mozilla's, in the one file that curl and git read, and OpenSSL too by a link. */
function addCertificates(tree: FileTree): void {
  const directory = "usr/share/ca-certificates";
  const paths = tree.below(directory).filter((path) => path.endsWith(".crt"));
  text(tree, "etc/ca-certificates.conf", lines(paths.map((path) => path.slice(directory.length + 1))));
  const certificates = paths.map((path) => tree.content(path).toString().trimEnd());
  text(tree, "etc/ssl/certs/ca-certificates.crt", lines(certificates));
  link(tree, "usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt");
}

function addShells(tree: FileTree): void {
  const shells = ["sh", "dash", "bash", "rbash"].flatMap((name) => [`/bin/${name}`, `/usr/bin/${name}`]);
  text(tree, "etc/shells", lines(shells));
}

/** As pam-auth-update writes them where there is pam_unix alone: `su` asks them. */
function addPam(tree: FileTree): void {
  const unix = (type: string, options: string): string =>
    lines([
      `${type} [success=1 default=ignore] pam_unix.so${options}`,
      `${type} requisite pam_deny.so`,
      `${type} required pam_permit.so`,
    ]);
  text(tree, "etc/pam.d/common-auth", unix("auth", " nullok"));
  text(tree, "etc/pam.d/common-account", unix("account", ""));
  text(tree, "etc/pam.d/common-password", unix("password", " obscure yescrypt"));
  for (const name of ["common-session", "common-session-noninteractive"]) {
    text(tree, `etc/pam.d/${name}`, lines(["session required pam_permit.so", "session optional pam_unix.so"]));
  }
  text(tree, "etc/security/opasswd", "", { mode: 0o600 });
}

/** The directory where pip of root installs, and the file that a link of the package points at. */
function addPython(tree: FileTree): void {
  const version = tree
    .below("usr/lib")
    .find((path) => /^usr\/lib\/python3\.\d+\/os\.py$/.test(path))
    ?.split("/")[2];
  if (version === undefined) return;
  tree.directory(`usr/local/lib/${version}`);
  tree.directory(`usr/local/lib/${version}/dist-packages`);
  text(tree, `etc/${version}/sitecustomize.py`, "# The target of a link of the package.\n");
}

/** dpkg's list of what is installed, which scanners read, too: what is in the image, by name and version. */
function status(packages: readonly Package[]): string {
  return packages.map(({ control }) => `${control.replace("\n", "\nStatus: install ok installed\n")}\n\n`).join("");
}

function copy(tree: FileTree, from: string, to: string): void {
  text(tree, to, tree.content(from));
}

function link(tree: FileTree, path: string, to: string): void {
  tree.put({ path, kind: "symlink", to });
}

function text(
  tree: FileTree,
  path: string,
  content: string | Buffer,
  how: { readonly mode?: number; readonly uid?: number; readonly gid?: number } = {},
): void {
  const file: ImageFile = { path, kind: "file", mode: 0o644, content: Buffer.from(content), ...how };
  tree.put(file);
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join("");
}
