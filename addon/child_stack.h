#pragma once

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <cstddef>

namespace a3s {

/** A stack for a child that shares this process's memory, with a page below it that can't be touched. */
class ChildStack {
 public:
  ChildStack() : base_(::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (valid() && ::mprotect(static_cast<char*>(base_) + kGuardBytes, kBytes - kGuardBytes, PROT_READ | PROT_WRITE)) {
      ::munmap(base_, kBytes);
      base_ = MAP_FAILED;
    }
  }
  ChildStack(const ChildStack&) = delete;
  ChildStack& operator=(const ChildStack&) = delete;
  ~ChildStack() {
    if (!valid()) return;
#ifdef __SANITIZE_ADDRESS__
    // A child leaves its stack by execve, _exit or a signal, and never returns: AddressSanitizer would go on believing
    // in its variables, at a place where the next memory is another child's, V8's or a thread's.
    ASAN_UNPOISON_MEMORY_REGION(base_, kBytes);
#endif
    ::munmap(base_, kBytes);
  }
  bool valid() const { return base_ != MAP_FAILED; }
  void* top() const { return static_cast<char*>(base_) + kBytes; }

 private:
  static constexpr size_t kGuardBytes = 4096;
  static constexpr size_t kBytes = 64 * 1024;
  void* base_;
};

}  // namespace a3s
