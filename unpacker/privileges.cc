#include "privileges.h"

#include "../jail/capabilities.h"
#include "failure.h"

namespace a3s {

void KeepCapabilities(std::initializer_list<int> kept) {
  const uint64_t bits = CapabilitySet(kept);
  if (const char* failed = LimitBounding(bits)) DieOfErrno(failed);
  if (const char* failed = LimitCapabilities(bits)) DieOfErrno(failed);
}

}  // namespace a3s
