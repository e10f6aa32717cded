#pragma once

#include <cstddef>
#include <cstdint>

namespace a3s {

/** Where the parts of the tiny guest lie in its one 2 MiB page, mapped one to one. */
namespace guest {
constexpr uint64_t kPageTables = 0x1000;  // three tables, one page each
constexpr uint64_t kGdt = 0x4000;
constexpr uint64_t kIdt = 0x5000;
constexpr uint64_t kCode = 0x6000;
constexpr uint64_t kTraps = 0x8000;       // counter of the trap handler
constexpr uint64_t kPair = 0x8040;        // 16 bytes for cmpxchg16b
constexpr uint64_t kIdtPointer = 0x8100;  // operand of lidt
constexpr uint64_t kStackTop = 0x10000;
constexpr uint64_t kMemoryBytes = 0x200000;
/** The guest writes the number of each finished step here. */
constexpr uint16_t kStepPort = 0xf4;
}  // namespace guest

/** The steps, in order: `kStepNames[n]` is what the guest does before it writes n + 1. */
constexpr const char* kStepNames[] = {
    "lidt",
    "int3 through the IDT",
    "lock cmpxchg16b",
    "rdmsr and wrmsr of EFER",
    "mov to cr4",
    "mov to cr3",
    "swapgs",
    "load of a segment register",
    "fxsave",
    "invlpg",
};
constexpr int kSteps = sizeof kStepNames / sizeof kStepNames[0];

extern "C" {
extern const uint8_t a3s_guest_begin[];
extern const uint8_t a3s_guest_trap[];
extern const uint8_t a3s_guest_end[];
}

}  // namespace a3s
