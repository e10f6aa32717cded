#pragma once

namespace a3s {

/**
 * Runs a tiny 64-bit guest and prints `usable` or `unusable: REASON` on one line. The exit status.
 *
 * A /dev/kvm that opens and makes a virtual CPU may still be unable to run a kernel: emulated and paravirtual KVMs
 * exist whose instruction emulator stops at the first trap through the guest's IDT or at the first `lock cmpxchg16b`.
 * Only running such instructions tells.
 */
int Probe();

}  // namespace a3s
