#include "netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "arguments.h"
#include "id_namespace.h"
#include "pool_work.h"
#include "unique_fd.h"

namespace a3s {

namespace {

/** Of the calling thread's network namespace. */
Failure LoopbackUp() {
  UniqueFd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control.valid()) return Failed("socket");
  struct ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(control.get(), SIOCGIFFLAGS, &request) != 0) return Failed("ioctl SIOCGIFFLAGS lo");
  request.ifr_flags |= IFF_UP;
  if (::ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) return Failed("ioctl SIOCSIFFLAGS lo");
  return std::nullopt;
}

/** Changes the thread it runs on for good. */
Failure EnterNewAndBind(const std::string& path) {
  if (::unshare(CLONE_NEWNET) != 0) return Failed("unshare", path);
  if (Failure failure = LoopbackUp()) {
    failure->path = path;
    return failure;
  }
  if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) return Failed("mount", path);
  return std::nullopt;
}

/** The namespace is that of a new user namespace, which lives as long as it. */
Failure MakeOwnedAndBind(const std::string& path, const IdMap& ids) {
  IdNamespace owner;
  if (Failure failure = owner.Make(ids, CLONE_NEWNET)) return failure;
  const std::string made = owner.PathOf("net");
  if (Failure failure = InNetns(made, LoopbackUp)) return failure;
  if (::mount(made.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) return Failed("mount", path);
  return std::nullopt;
}

Failure Create(const std::string& path, const std::optional<IdMap>& owner) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444));
  if (!file.valid()) return Failed("open", path);
  Failure failure;
  if (owner) {
    failure = MakeOwnedAndBind(path, *owner);
  } else {
    std::thread([&] { failure = EnterNewAndBind(path); }).join();
  }
  if (failure) ::unlink(path.c_str());
  return failure;
}

Failure Remove(const std::string& path) {
  // A crash between two creations may have left several mounts on each other.
  while (::umount2(path.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) == 0) continue;
  if (errno != EINVAL && errno != ENOENT) return Failed("umount2", path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Failed("unlink", path);
  return std::nullopt;
}

Failure EnterAndRun(const std::string& path, const std::function<Failure()>& work) {
  UniqueFd netns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns.valid()) return Failed("open", path);
  if (::setns(netns.get(), CLONE_NEWNET) != 0) return Failed("setns", path);
  return work();
}

}  // namespace

Failure InNetns(const std::string& path, const std::function<Failure()>& work) {
  Failure failure;
  std::thread([&] { failure = EnterAndRun(path, work); }).join();
  return failure;
}

Napi::Value CreateNetns(const Napi::CallbackInfo& info) {
  std::string path;
  std::optional<IdMap> owner;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  if (!ReadOptional(info[1], owner)) return RefuseArgument(info, 1);
  return StartOnPool(info.Env(), [=] { return Create(path, owner); });
}

Napi::Value RemoveNetns(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return Remove(path); });
}

}  // namespace a3s
