#pragma once

namespace a3s {

/** What QEMU may call, from its execve on; whatever else gives ENOSYS. What fails ends the process. */
void AllowVmmCalls();

/** The same for libkrun, a VMM and file server in one, once its jail is closed and its machine set up. */
void AllowKrunCalls();

}  // namespace a3s
