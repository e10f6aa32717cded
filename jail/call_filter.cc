#include "call_filter.h"

#include <linux/audit.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace a3s {

namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the filter knows x86-64 and arm64"
#endif

constexpr sock_filter kLoadCall = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
constexpr sock_filter kAllow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

/** Of an argument only the low half is looked at: what is looked for are flags and small numbers. */
constexpr sock_filter LoadArgument(unsigned number) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offsetof(struct seccomp_data, args) + 8 * number));
}

}  // namespace

CallFilter::CallFilter()
    : program_({
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
          // The x32 calls of x86-64 have a bit of their own, so that no number that is allowed is one of them.
          kLoadCall,
      }) {}

void CallFilter::Allow(std::span<const uint32_t> calls) {
  for (const uint32_t call : calls) {
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    program_.push_back(kAllow);
  }
}

void CallFilter::AllowWhere(uint32_t call, unsigned number, uint32_t mask, std::initializer_list<uint32_t> values) {
  const auto length = static_cast<uint8_t>(2 * values.size() + 3);
  program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, length));
  program_.push_back(LoadArgument(number));
  program_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
  for (const uint32_t value : values) {
    program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    program_.push_back(kAllow);
  }
  program_.push_back(kLoadCall);
}

void CallFilter::AllowWithout(uint32_t call, unsigned number, uint32_t bits) {
  program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4));
  program_.push_back(LoadArgument(number));
  program_.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0));
  program_.push_back(kAllow);
  program_.push_back(kLoadCall);
}

void CallFilter::Refuse(uint32_t call, uint32_t number) {
  program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
  program_.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number));
}

void CallFilter::AllowMemoryWithoutCode() {
  AllowWithout(SYS_mmap, 2, PROT_EXEC);
  AllowWithout(SYS_mprotect, 2, PROT_EXEC);
}

const char* CallFilter::Install(uint32_t otherwise) {
  program_.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
  const sock_fprog filter = {static_cast<unsigned short>(program_.size()), program_.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) return "seccomp";
  return nullptr;
}

}  // namespace a3s
