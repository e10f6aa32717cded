/** Images of one busybox, each with a config that somebody has built. */
import { busyboxSource } from "../images.js";
import type { ImageSource } from "../registry.js";
import { buildLayer } from "../tar-builder.js";

export async function images(): Promise<Record<string, ImageSource>> {
  const odd = buildLayer([
    { name: "etc/group", content: "root:x:0:\nuser:x:1000:\nextra:x:50000:user\nmore:x:50001:user,root\n" },
    { name: "etc/passwd", content: "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n" },
    { name: "data/", type: "directory", mode: 0o750, uid: 1000, gid: 50000 },
    { name: "data/file", content: "of the image\n", mode: 0o640, uid: 1000, gid: 50000 },
    { name: "file", content: "a file\n" },
    { name: "directory-link", type: "symlink", link: "data" },
    { name: "absolute-link", type: "symlink", link: "/data" },
    { name: "dangling-link", type: "symlink", link: "/not/there" },
    { name: "outside-link", type: "symlink", link: "../../../../data" },
    { name: "file-link", type: "symlink", link: "file" },
    { name: "bin/not-executable", content: "#!/bin/sh\n", mode: 0o644 },
    { name: "bin/not-a-program", content: "\u0001\u0002 nothing that runs\n", mode: 0o755 },
    { name: "bin/no-interpreter", content: "#!/no/such/interpreter\n", mode: 0o755 },
    { name: "bin/other-architecture", content: armProgram(), mode: 0o755 },
    { name: "bin/empty", content: "", mode: 0o755 },
    { name: "closed/", type: "directory", mode: 0o700 },
    { name: "closed/directory/", type: "directory", mode: 0o755 },
  ]);
  const layers = [odd];
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const without = buildLayer([
    { name: "etc/.wh.passwd", content: "" },
    { name: "etc/.wh.group", content: "" },
  ]);
  return {
    pause: await busyboxSource({ Cmd: ["/bin/sleep", "1000000"] }),
    plain: await busyboxSource({}, layers),
    "with-config": await busyboxSource(
      {
        Entrypoint: ["/bin/sh", "-c"],
        Cmd: ["echo from the image"],
        Env: [path, "FIRST=1", "SECOND=two words", "EMPTY=", "UNSET"],
        WorkingDir: "/home/user/made/by/runtime",
        User: "user",
        StopSignal: "SIGUSR1",
        Volumes: { "/data": {}, "/new-volume": {} },
        Labels: { "of.image": "yes" },
      },
      layers,
    ),
    "user-group": await busyboxSource({ User: "1000:50000" }, layers),
    "user-names": await busyboxSource({ User: "user:extra" }, layers),
    "user-uid": await busyboxSource({ User: "4321" }, layers),
    "user-unknown": await busyboxSource({ User: "nobody-knows" }, layers),
    "group-unknown": await busyboxSource({ User: "user:nobody-knows" }, layers),
    "no-accounts": await busyboxSource({ User: "1000" }, [odd, without]),
    "no-accounts-name": await busyboxSource({ User: "user" }, [odd, without]),
    "no-env": await busyboxSource({ Env: [], Cmd: undefined }, layers),
    "no-command": await busyboxSource({ Cmd: [] }, layers),
    "relative-directory": await busyboxSource({ WorkingDir: "home/user" }, layers),
    "file-as-directory": await busyboxSource({ WorkingDir: "/file" }, layers),
  };
}

/** The header of an ELF program of another machine. */
function armProgram(): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(183, 18); // EM_AARCH64
  header.writeUInt32LE(1, 20);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  return header;
}
