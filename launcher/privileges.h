#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace a3s {

/** Open files as many as may be, or `open_files`; no core dumps. Whatever fails ends the process. */
void SetLimits(std::optional<uint64_t> open_files);

/** Processes and threads of this user, all of them together. Whatever fails ends the process. */
void LimitProcesses(uint64_t processes);

/**
 * Changes to that user (and the group of the same number), keeps these capabilities and no others, for good, and sets
 * no_new_privs. Whatever fails ends the process.
 */
void DropPrivileges(uid_t user, uint64_t kept);

/** What serving a share of files of all users takes. */
extern const uint64_t kFileServerCapabilities;

}  // namespace a3s
