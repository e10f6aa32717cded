#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace a3s {

/** Something of the host that is seen in the jail. */
struct View {
  enum class Kind { kDirectory, kFile, kDevice };

  /** No link. */
  std::string source;
  /** Absolute path inside. */
  std::string target;
  Kind kind = Kind::kDirectory;
  /** MOUNT_ATTR_* to add; what the source has besides (read-only) stays. */
  uint64_t attributes = 0;
};

/** A mount that is mounted nowhere yet: its descriptor (open_tree(2)), and the absolute path inside. */
struct Tree {
  int fd = -1;
  std::string target;
  /** MOUNT_ATTR_* to add. */
  uint64_t attributes = 0;
};

struct JailPlan {
  std::vector<View> views;
  /** One on another, in this order. */
  std::vector<Tree> trees;
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

/**
 * The directory that the guest gets, for a file server, and the guest's base in it. What is mounted there later is
 * mounted by who enters this namespace.
 */
std::vector<Tree> ShareTrees(int share, int base);

/**
 * A mount namespace of its own whose root is an empty, read-only tmpfs with what the plan names, and nothing else: this
 * is what is found by who takes the process over. Whatever fails ends the process.
 */
void EnterJail(const JailPlan& plan);

}  // namespace a3s
