#pragma once

#include <span>

namespace a3s {

/**
 * Executes a program in a jail. `KEY=VALUE` of the arguments, all paths absolute and of the host:
 *
 * - see=PATH: a directory or file (no link) that the program sees, read-only, at the same path.
 * - link=PATH:TEXT: a symbolic link inside.
 * - share=PATH: the directory to serve, at /share, with what is mounted below it later.
 * - file=PATH:TEXT: a file inside with that in it.
 * - proc=fd: /proc/self/fd of the program, and nothing else of proc.
 * - listen=PATH, connect=PATH, append=PATH, write=PATH, tap=NAME: a listening or connected Unix socket, a file to
 * append to, one that is there to write to anywhere, a tap of this network namespace. They become descriptors 3, 4, ...
 * of the program, in their order.
 * - user=N: the user and group; absent: 0.
 * - userns=N: a descriptor of a user namespace (setns(2)) that it enters at last, whose user 0 it then is: `user` is of
 * it.
 * - keep=N: a capability. None without.
 * - processes=N: how many the user may have.
 * - open_files=N; absent: the hard limit.
 * - calls=vmm: the system calls of QEMU, no others.
 * - refuse=syncfs: not that call, which writes back all of a file system of the host's.
 *
 * After `--` the program (see it), its name, its arguments. Whatever fails ends the process.
 */
[[noreturn]] void Enter(std::span<char*> arguments);

}  // namespace a3s
