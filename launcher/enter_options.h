#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jail.h"

namespace a3s {

/** What becomes a descriptor of the program. */
struct Inherited {
  enum class Kind { kListen, kConnect, kAppend, kWrite, kTap };
  Kind kind;
  /** The name, for a tap. */
  std::string path;
};

struct EnterOptions {
  JailPlan jail;
  std::vector<Inherited> inherited;
  uid_t user = 0;
  /** Descriptor of a user namespace to enter. */
  std::optional<int> user_namespace;
  /** Descriptors of mounts: what is served, and the guest's base in it; both or none. */
  std::optional<int> share;
  std::optional<int> base;
  uint64_t capabilities = 0;
  std::optional<uint64_t> processes;
  std::optional<uint64_t> open_files;
  bool vmm_calls = false;
  bool no_syncfs = false;
  std::string program;
  /** Ends with a null pointer. */
  std::vector<char*> argv;
};

/** Whatever is wrong ends the process. */
EnterOptions ReadEnterOptions(std::span<char*> arguments);

}  // namespace a3s
