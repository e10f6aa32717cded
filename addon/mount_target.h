#pragma once

#include <string>

#include "arguments.h"
#include "mount_namespace.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** Opens what is to be mounted on, for `FdPath`. A symbolic link as its last component is ELOOP, never followed. */
Outcome<UniqueFd> OpenMountTarget(const std::string& path);

/**
 * Attaches what is mounted nowhere yet, directory on directory or file on file (else ENOTDIR), among the mounts of the
 * thread.
 */
Failure Attach(int tree, const std::string& target);
/** Among those of the process; there no component of the target may be a link. */
Failure AttachAmong(const std::optional<NamedProcess>& process, int tree, const std::string& target);

/** A path that names exactly what the descriptor is open on. */
std::string FdPath(int fd);

/** `flags` as MS_* of mount(2). */
unsigned long MountOptionBits(const MountFlags& flags);

/** `flags` as MOUNT_ATTR_* of mount_setattr(2). */
uint64_t MountAttributeBits(const MountFlags& flags);

}  // namespace a3s
