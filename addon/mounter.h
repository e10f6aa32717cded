#pragma once

#include <sys/types.h>

#include <cstdint>

#include "system_error.h"

namespace a3s {

/**
 * What overlayfs does on its own account it does as who mounted it, for as long as it is mounted: this thread is that
 * user of the host, with what it takes of capabilities and no more, as long as this is.
 */
class Mounter {
 public:
  Mounter() = default;
  Mounter(const Mounter&) = delete;
  Mounter& operator=(const Mounter&) = delete;
  ~Mounter();

  /** Once. Group and user have the same number. */
  Failure Become(uid_t user);

 private:
  /** 0: as it was. */
  uint64_t before_ = 0;
};

}  // namespace a3s
