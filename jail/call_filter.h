#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace a3s {

/** A list of system calls (seccomp(2)). A call of another architecture's table kills the process. */
class CallFilter {
 public:
  CallFilter();
  void Allow(std::span<const uint32_t> calls);
  /** Where its argument `number`, as far as the mask goes, is one of these. Only the low half is looked at. */
  void AllowWhere(uint32_t call, unsigned number, uint32_t mask, std::initializer_list<uint32_t> values);
  /** Where its argument `number` has none of these bits. */
  void AllowWithout(uint32_t call, unsigned number, uint32_t bits);
  /** Whatever else is allowed: it fails with that errno. */
  void Refuse(uint32_t call, uint32_t number);
  /** mmap and mprotect, unless the memory is to be executed. */
  void AllowMemoryWithoutCode();
  /**
   * For every thread, and for what they start: whatever was not allowed gets `otherwise`, a SECCOMP_RET_ value. Null,
   * or the step that failed with its errno.
   */
  const char* Install(uint32_t otherwise);

 private:
  std::vector<sock_filter> program_;
};

}  // namespace a3s
