#pragma once

namespace a3s {

/** What QEMU may call, from its execve on; whatever else gives ENOSYS. What fails ends the process. */
void AllowVmmCalls();

}  // namespace a3s
