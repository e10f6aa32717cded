#pragma once

namespace a3s {

/**
 * What the launcher's exit status means; `src/vmm` reads the same table. Below 100 it is libkrun's: 0 after the guest
 * rebooted (its way to stop), 1 after KVM gave up on it.
 */
enum class ExitCode : int {
  /** `probe`: KVM runs a kernel. */
  kUsable = 0,
  /** `probe`: it does not; standard output has the reason. */
  kUnusable = 1,
  /** Wrong arguments. */
  kUsage = 100,
  /** A line of the config is missing, unknown, twice there or out of range. */
  kConfig = 101,
  /** libkrun can't be loaded. */
  kLibraryMissing = 102,
  /** libkrun lacks a function: another version. */
  kSymbolMissing = 103,
  /** /dev/kvm, or the tap's /dev/net/tun, can't be opened. */
  kDevice = 104,
  /** The guest kernel's file can't be opened. */
  kKernel = 105,
  /** The console's log file can't be made. */
  kConsole = 106,
  /** A resource limit can't be set. */
  kLimits = 107,
  /** A step of building the jail failed. */
  kJail = 108,
  /** Capabilities can't be dropped. */
  kPrivileges = 109,
  /** libkrun refused a part of the machine. */
  kMachine = 110,
  /** libkrun could not start the machine, or a program that `enter` was to execute. */
  kStart = 111,
  /** A socket of `enter` can't be made or reached. */
  kSocket = 112,
};

}  // namespace a3s
