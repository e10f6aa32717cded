#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace a3s {

/** A tap in the network namespace that the launcher was started in. */
struct TapConfig {
  std::string name;
  uint8_t mac[6] = {};
};

/**
 * What one machine is made of. The text is lines of `key=value`, each key at most once, no other lines; a value is
 * everything after the first `=`. All paths are absolute paths of the host.
 */
struct Config {
  /** libkrun=PATH, the shared library. */
  std::string libkrun;
  /** kernel=PATH, an ELF file. */
  std::string kernel;
  /** cmdline=TEXT, the kernel's command line as it is; at most 2,047 bytes. */
  std::string cmdline;
  /** vcpus=N, 1 to 255. */
  uint8_t vcpus = 0;
  /** memory_mib=N, 64 or more. */
  uint32_t memory_mib = 0;
  /**
   * share=N and base=N: descriptors of mounts that are mounted nowhere (open_tree(2)): of the directory that the guest
   * gets by virtio-fs, and of the guest's base, which is mounted on its `base`.
   */
  int share = -1;
  int base = -1;
  /** tag=NAME of the share. */
  std::string tag;
  /** console=PATH, made or emptied: the guest's console (hvc0). Only its last megabyte or so is kept. */
  std::string console;
  /**
   * socket_directory=PATH, a directory for nothing else: all the machine can write on the host besides the share.
   * libkrun makes `agent.sock` in it (for the guest's vsock port 1025); the host listens on `ready.sock` (port 1026).
   */
  std::string socket_directory;
  /** tap=NAME and mac=XX:XX:XX:XX:XX:XX, both or neither. The tap exists and is persistent. */
  std::optional<TapConfig> tap;
  /** log_level=N of libkrun on standard error, 0 (off) to 5 (trace). Optional; 1. */
  uint32_t log_level = 1;
  /**
   * userns=N: a descriptor of a user namespace (setns(2)), whose root the machine's process becomes in the end.
   * Optional; without it stays root of the host's.
   */
  std::optional<int> user_namespace;
  /** nofile=N, the limit of open files: libkrun holds one per inode that the guest knows. Optional; the hard limit. */
  std::optional<uint64_t> open_files;
};

/** Reads it to the end; whatever is wrong ends the process. */
Config ReadConfig(int fd);

}  // namespace a3s
