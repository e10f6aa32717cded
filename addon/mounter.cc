#include "mounter.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <initializer_list>

namespace a3s {

namespace {

constexpr uint64_t SetOf(std::initializer_list<int> numbers) {
  uint64_t bits = 0;
  for (const int number : numbers) bits |= 1ULL << number;
  return bits;
}

/**
 * Files of all users in layers, with what belongs to them; CAP_DAC_READ_SEARCH for the handles by which an index finds
 * layers' files, CAP_MKNOD for whiteouts and devices that are copied up, CAP_SYS_ADMIN for `trusted.overlay.*`.
 */
constexpr uint64_t kCapabilities = SetOf(
    {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_SYS_ADMIN, CAP_MKNOD, CAP_SETFCAP});

struct Sets {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};

  bool Read() { return ::syscall(SYS_capget, &header, data) == 0; }
  bool Write() { return ::syscall(SYS_capset, &header, data) == 0; }
  uint64_t effective() const { return data[0].effective | static_cast<uint64_t>(data[1].effective) << 32; }
  void set_effective(uint64_t bits) {
    data[0].effective = static_cast<uint32_t>(bits);
    data[1].effective = static_cast<uint32_t>(bits >> 32);
  }
  uint64_t permitted() const { return data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32; }
};

/** setfsuid(2) tells nothing but who it was before. */
bool IsFileUser(uid_t user) {
  return static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) == user &&
         static_cast<gid_t>(::setfsgid(static_cast<gid_t>(-1))) == user;
}

}  // namespace

Failure Mounter::Become(uid_t user) {
  Sets sets;
  if (!sets.Read()) return Failed("capget");
  before_ = sets.effective();
  ::setfsgid(user);
  ::setfsuid(user);
  if (!IsFileUser(user)) return FailedWith(EPERM, "setfsuid");
  // After the change of the user, which takes some away.
  sets.set_effective(kCapabilities & sets.permitted());
  if (!sets.Write()) return Failed("capset");
  return std::nullopt;
}

/** A thread that can't go back would be the wrong user for whatever comes: it must end. */
Mounter::~Mounter() {
  if (before_ == 0) return;
  ::setfsuid(::geteuid());
  ::setfsgid(::getegid());
  Sets sets;
  sets.Read();
  sets.set_effective(before_);
  sets.Write();
}

}  // namespace a3s
