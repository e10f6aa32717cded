#pragma once

#include <string>

#include "arguments.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** Opens what is to be mounted on, for `FdPath`. A symbolic link as its last component is ELOOP, never followed. */
Outcome<UniqueFd> OpenMountTarget(const std::string& path);

/** A path that names exactly what the descriptor is open on. */
std::string FdPath(int fd);

/** `flags` as MS_* of mount(2). */
unsigned long MountOptionBits(const MountFlags& flags);

/** `flags` as MOUNT_ATTR_* of mount_setattr(2). */
uint64_t MountAttributeBits(const MountFlags& flags);

}  // namespace a3s
