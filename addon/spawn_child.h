#pragma once

namespace a3s {

/** The steps of a child between clone and execve; an error names the one that failed. */
enum class ChildStage { kNone, kParent, kSession, kCgroup, kNetns, kPropagation, kDirectory, kStdio, kLimit, kExecute };

/**
 * All that the child needs, prepared before it exists: it shares the parent's memory until execve, so it allocates
 * nothing, takes no lock, and writes only to `moved`, the `failed_` members.
 */
struct ChildPlan {
  const char* file = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* cwd = nullptr;
  /** Descriptor i of the list becomes i of the child. */
  const int* stdio = nullptr;
  /** As long as `stdio`; the child's scratch space. */
  int* moved = nullptr;
  int stdio_count = 0;
  /** Open `cgroup.procs` files. */
  const int* cgroups = nullptr;
  int cgroup_count = 0;
  /** -1: stay. */
  int netns = -1;
  /** The child is in a mount namespace of its own: make all of it rslave. */
  bool slave_mounts = false;
  /** Process that the child is not to outlive; 0: none. */
  int die_with = 0;
  /** 0: inherited. */
  unsigned long max_open_files = 0;
  /** Text for /proc/self/oom_score_adj; null: inherited. */
  const char* oom_score_adj = nullptr;

  /** What the child reports; `kNone` when execve was reached and succeeded. */
  ChildStage failed_stage = ChildStage::kNone;
  int failed_errno = 0;
  int failed_cgroup = 0;
};

/** Entry point for clone(2); `plan` is a ChildPlan. All signals are blocked when it starts. */
int RunChild(void* plan);

}  // namespace a3s
