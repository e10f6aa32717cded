#pragma once

#include <string>
#include <vector>

namespace a3s {

/** Folders of the host that a machine may see, opened before the jail closes. */
struct JailPlan {
  /** With everything mounted on it, now and later. */
  std::string share;
  std::string socket_folder;
  bool needs_tun = false;
};

/** Where they are inside. */
constexpr char kJailShare[] = "/share";
constexpr char kJailSockets[] = "/sockets";

/**
 * A mount namespace of its own whose root is an empty, read-only tmpfs with the share, the socket folder, four devices
 * and /proc: libkrun's file server can be walked out of by a hostile guest, and this is what it then finds. Mounts
 * made below the share later still arrive. Whatever fails ends the process.
 */
void EnterJail(const JailPlan& plan);

}  // namespace a3s
