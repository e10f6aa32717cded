#pragma once

#include <fcntl.h>

namespace a3s {

/** As open(2) has it: with other flags there is no argument for it. */
inline bool HasMode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

}  // namespace a3s
