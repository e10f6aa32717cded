#pragma once

#include <cstdint>
#include <initializer_list>

namespace a3s {

/** Numbers of capabilities(7) as one set. */
constexpr uint64_t CapabilitySet(std::initializer_list<int> numbers) {
  uint64_t bits = 0;
  for (const int number : numbers) bits |= 1ULL << number;
  return bits;
}

/** What no program that this process executes can ever have again. Null, or the step that failed with its errno. */
const char* LimitBounding(uint64_t kept);

/** Keeps these and no others, none of them through execve by inheritance, and sets no_new_privs. Null, or as above. */
const char* LimitCapabilities(uint64_t kept);

}  // namespace a3s
