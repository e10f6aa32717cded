#include "probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "../addon/unique_fd.h"
#include "exit_codes.h"
#include "probe_guest.h"

namespace a3s {

namespace {

constexpr unsigned kLimitSeconds = 5;

void OnAlarm(int) {
  constexpr char kText[] = "unusable: the self-test did not end within 5 s\n";
  if (::write(STDOUT_FILENO, kText, sizeof kText - 1) < 0) ::_exit(static_cast<int>(ExitCode::kUnusable));
  ::_exit(static_cast<int>(ExitCode::kUnusable));
}

/** Nothing when it worked, or why not. */
using Reason = std::optional<std::string>;

Reason Failed(const char* what) { return std::string(what) + ": " + ::strerrordesc_np(errno); }

template <typename T>
T& At(uint8_t* memory, uint64_t address) {
  return *reinterpret_cast<T*>(memory + address);
}

void FillMemory(uint8_t* memory) {
  const uint64_t tables = guest::kPageTables;
  At<uint64_t>(memory, tables) = (tables + 0x1000) | 3;           // level 4: present, writable
  At<uint64_t>(memory, tables + 0x1000) = (tables + 0x2000) | 3;  // level 3
  At<uint64_t>(memory, tables + 0x2000) = 0x83;                   // level 2: one 2 MiB page at 0
  At<uint64_t>(memory, guest::kGdt + 0x10) = 0x00af9b000000ffff;  // 64-bit code
  At<uint64_t>(memory, guest::kGdt + 0x18) = 0x00cf93000000ffff;  // data
  memcpy(memory + guest::kCode, a3s_guest_begin, static_cast<size_t>(a3s_guest_end - a3s_guest_begin));
  const uint64_t trap = guest::kCode + static_cast<uint64_t>(a3s_guest_trap - a3s_guest_begin);
  At<uint64_t>(memory, guest::kIdt + 3 * 16) = trap | 0x0000'8e00'0010'0000;  // gate, selector 0x10
  At<uint16_t>(memory, guest::kIdtPointer) = 0xfff;
  memcpy(memory + guest::kIdtPointer + 2, &guest::kIdt, sizeof guest::kIdt);
}

/** struct kvm_cpuid2 with room; the header's own has another size in C++ than in C, and its size is in the numbers. */
struct Cpuid {
  uint32_t count;
  uint32_t padding;
  struct kvm_cpuid_entry2 entries[256];
};
constexpr unsigned long kGetSupportedCpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
constexpr unsigned long kSetCpuid = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);

Reason SetCpuid(int kvm, int cpu) {
  const auto cpuid = std::make_unique<Cpuid>();
  cpuid->count = sizeof cpuid->entries / sizeof cpuid->entries[0];
  if (::ioctl(kvm, kGetSupportedCpuid, cpuid.get()) < 0) return Failed("KVM_GET_SUPPORTED_CPUID");
  if (::ioctl(cpu, kSetCpuid, cpuid.get()) < 0) return Failed("KVM_SET_CPUID2");
  return std::nullopt;
}

/** 64-bit mode with paging, as a kernel's entry point finds it. */
Reason SetRegisters(int cpu) {
  struct kvm_sregs special;
  if (::ioctl(cpu, KVM_GET_SREGS, &special) < 0) return Failed("KVM_GET_SREGS");
  struct kvm_segment code = {};
  code.limit = 0xffffffff;
  code.selector = 0x10;
  code.type = 11;
  code.present = 1;
  code.s = 1;
  code.l = 1;
  code.g = 1;
  struct kvm_segment data = code;
  data.selector = 0x18;
  data.type = 3;
  data.l = 0;
  data.db = 1;
  special.cs = code;
  special.ds = special.es = special.fs = special.gs = special.ss = data;
  special.gdt.base = guest::kGdt;
  special.gdt.limit = 0x1f;
  special.cr0 = 0x80050033;  // PG, AM, WP, NE, ET, MP, PE
  special.cr3 = guest::kPageTables;
  special.cr4 = 0x620;   // PAE, OSFXSR, OSXMMEXCPT
  special.efer = 0x500;  // LME, LMA
  if (::ioctl(cpu, KVM_SET_SREGS, &special) < 0) return Failed("KVM_SET_SREGS");
  struct kvm_regs general = {};
  general.rip = guest::kCode;
  general.rsp = guest::kStackTop;
  general.rflags = 2;
  if (::ioctl(cpu, KVM_SET_REGS, &general) < 0) return Failed("KVM_SET_REGS");
  return std::nullopt;
}

std::string ExitText(const struct kvm_run& run) {
  if (run.exit_reason == KVM_EXIT_INTERNAL_ERROR) {
    return "KVM_EXIT_INTERNAL_ERROR (suberror " + std::to_string(run.internal.suberror) + ")";
  }
  if (run.exit_reason == KVM_EXIT_SHUTDOWN) return "KVM_EXIT_SHUTDOWN (triple fault)";
  if (run.exit_reason == KVM_EXIT_FAIL_ENTRY) return "KVM_EXIT_FAIL_ENTRY";
  return "exit reason " + std::to_string(run.exit_reason);
}

Reason CheckResults(uint8_t* memory) {
  if (At<uint32_t>(memory, guest::kTraps) != 1) return "the int3 handler did not run once";
  if (At<uint64_t>(memory, guest::kPair) != 1 || At<uint64_t>(memory, guest::kPair + 8) != 2) {
    return "lock cmpxchg16b stored something else";
  }
  return std::nullopt;
}

Reason RunGuest(int cpu, struct kvm_run& run, uint8_t* memory) {
  int finished = 0;
  constexpr int kMaxExits = 200;
  for (int exits = 0; exits < kMaxExits && finished < kSteps; exits++) {
    const std::string at = std::string(" at ") + kStepNames[finished];
    if (::ioctl(cpu, KVM_RUN, 0) < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return *Failed("KVM_RUN") + at;
    }
    if (run.exit_reason == KVM_EXIT_INTR) continue;
    if (run.exit_reason != KVM_EXIT_IO || run.io.port != guest::kStepPort) return ExitText(run) + at;
    const uint8_t step = *(reinterpret_cast<uint8_t*>(&run) + run.io.data_offset);
    if (step != finished + 1) return "the guest lost its way" + at;
    finished = step;
  }
  if (finished < kSteps) return "too many exits";
  return CheckResults(memory);
}

Reason TryKvm() {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm.valid()) return Failed("/dev/kvm");
  const int version = ::ioctl(kvm.get(), KVM_GET_API_VERSION, 0);
  if (version != KVM_API_VERSION) return "KVM API version " + std::to_string(version);
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0UL));
  if (!vm.valid()) return Failed("KVM_CREATE_VM");
  if (::ioctl(vm.get(), KVM_SET_TSS_ADDR, 0xfffbd000UL) < 0) return Failed("KVM_SET_TSS_ADDR");
  if (::ioctl(vm.get(), KVM_CREATE_IRQCHIP, 0) < 0) return Failed("KVM_CREATE_IRQCHIP");
  void* memory =
      ::mmap(nullptr, guest::kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return Failed("mmap");
  FillMemory(static_cast<uint8_t*>(memory));
  struct kvm_userspace_memory_region region = {};
  region.memory_size = guest::kMemoryBytes;
  region.userspace_addr = reinterpret_cast<uint64_t>(memory);
  if (::ioctl(vm.get(), KVM_SET_USER_MEMORY_REGION, &region) < 0) return Failed("KVM_SET_USER_MEMORY_REGION");
  const UniqueFd cpu(::ioctl(vm.get(), KVM_CREATE_VCPU, 0UL));
  if (!cpu.valid()) return Failed("KVM_CREATE_VCPU");
  if (Reason reason = SetCpuid(kvm.get(), cpu.get())) return reason;
  if (Reason reason = SetRegisters(cpu.get())) return reason;
  const int run_bytes = ::ioctl(kvm.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (run_bytes < 0) return Failed("KVM_GET_VCPU_MMAP_SIZE");
  void* run = ::mmap(nullptr, static_cast<size_t>(run_bytes), PROT_READ | PROT_WRITE, MAP_SHARED, cpu.get(), 0);
  if (run == MAP_FAILED) return Failed("mmap");
  return RunGuest(cpu.get(), *static_cast<struct kvm_run*>(run), static_cast<uint8_t*>(memory));
}

}  // namespace

int Probe() {
  ::signal(SIGALRM, OnAlarm);
  ::alarm(kLimitSeconds);
  const Reason reason = TryKvm();
  std::printf("%s%s\n", reason ? "unusable: " : "usable", reason ? reason->c_str() : "");
  std::fflush(stdout);
  return static_cast<int>(reason ? ExitCode::kUnusable : ExitCode::kUsable);
}

}  // namespace a3s
