#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace a3s {

/** Something of the host that is seen in the jail. */
struct View {
  enum class Kind { kFolder, kFile, kDevice };

  /** No link. */
  std::string source;
  /** Absolute path inside. */
  std::string target;
  Kind kind = Kind::kFolder;
  /** MOUNT_ATTR_* to add; what the source has besides (read-only) stays. */
  uint64_t attributes = 0;
  /** With everything mounted on it, now and later. */
  bool recursive = false;
};

struct JailPlan {
  std::vector<View> views;
  /** Symbolic links: absolute path inside, and what is in it. */
  std::vector<std::pair<std::string, std::string>> links;
  /** Files of the jail's own: absolute path inside, and what is in it. */
  std::vector<std::pair<std::string, std::string>> files;
  /** Of a /proc of its PID namespace the process's own `self/fd`, and nothing that is beside or above it. */
  bool own_descriptors = false;
  /** An empty network namespace, entered at the end. */
  bool no_network = false;
};

/** Where the share is inside. */
constexpr char kJailShare[] = "/share";

/** The folder that the guest gets, for a file server: later mounts below it still arrive. */
View ShareView(const std::string& folder);

/**
 * A mount namespace of its own whose root is an empty, read-only tmpfs with what the plan names, and nothing else: this
 * is what is found by who takes the process over. Whatever fails ends the process.
 */
void EnterJail(const JailPlan& plan);

}  // namespace a3s
