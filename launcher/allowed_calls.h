#pragma once

namespace a3s {

/** What QEMU may call, from its execve on; whatever else gives ENOSYS. What fails ends the process. */
void AllowVmmCalls();

/**
 * No syncfs for a file server, which may call whatever else it could before: what is shared are parts of the node's
 * file systems, and it writes back all of one (docs/adr/0080). What fails ends the process.
 */
void RefuseSyncfs();

/** As `AllowVmmCalls` for libkrun, a VMM and file server in one, once its jail is closed and its machine set up. */
void AllowKrunCalls();

}  // namespace a3s
