#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "../addon/unique_fd.h"

namespace a3s {

/** Open files as many as may be, or `open_files`; no core dumps. Whatever fails ends the process. */
void SetLimits(std::optional<uint64_t> open_files);

/** Processes and threads of this user, all of them together. Whatever fails ends the process. */
void LimitProcesses(uint64_t processes);

/**
 * Becomes root of that user namespace: a user of the host that owns nothing there, and capabilities count for nothing
 * but what belongs to ids of the namespace. One thread, which still has CAP_SYS_ADMIN. Whatever fails ends the process.
 */
void EnterUserNamespace(const UniqueFd& user_namespace);

/**
 * Changes to that user (and the group of the same number), keeps these capabilities and no others, for good, and sets
 * no_new_privs. Whatever fails ends the process.
 */
void DropPrivileges(uid_t user, uint64_t kept);

/** What serving a share of files of all users takes. */
extern const uint64_t kFileServerCapabilities;

}  // namespace a3s
