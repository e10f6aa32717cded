#include "enter.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "../addon/unique_fd.h"
#include "allowed_calls.h"
#include "enter_options.h"
#include "failure.h"
#include "privileges.h"
#include "tap.h"

namespace a3s {

namespace {

constexpr int kFirstInherited = 3;
/** More than are ever inherited. */
constexpr int kOutOfTheWay = 100;

/** 10 s in all: a loaded machine may not let a program run between two of its calls. */
constexpr int kConnectTries = 2000;
constexpr useconds_t kConnectPauseMicroseconds = 5000;

UniqueFd UnixSocket(const std::string& path, sockaddr_un& address) {
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    Die(ExitCode::kUsage, "arguments", "longer than a socket's path: " + path);
  ::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

UniqueFd Listen(const std::string& path) {
  sockaddr_un address = {};
  UniqueFd socket = UnixSocket(path, address);
  const mode_t before = ::umask(0177);
  if (!socket.valid() || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 1) != 0) {
    DieOfErrno(ExitCode::kSocket, "listen", path);
  }
  ::umask(before);
  return socket;
}

/** Who made the socket's file may be a moment from listening: it refuses until then. */
UniqueFd Connect(const std::string& path) {
  sockaddr_un address = {};
  for (int tries_left = kConnectTries;; tries_left--) {
    UniqueFd socket = UnixSocket(path, address);
    if (!socket.valid()) DieOfErrno(ExitCode::kSocket, "socket", path);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return socket;
    if (errno != ECONNREFUSED || tries_left == 0) DieOfErrno(ExitCode::kSocket, "connect", path);
    ::usleep(kConnectPauseMicroseconds);
  }
}

UniqueFd Append(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct stat info;
  if (!file.valid() || ::fstat(file.get(), &info) != 0) DieOfErrno(ExitCode::kConsole, "console", path);
  if (!S_ISREG(info.st_mode)) Die(ExitCode::kConsole, "console", path + " is no file");
  return file;
}

UniqueFd Write(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  if (!file.valid() || ::fstat(file.get(), &info) != 0) DieOfErrno(ExitCode::kJail, "file to write", path);
  if (!S_ISREG(info.st_mode)) Die(ExitCode::kJail, "file to write", path + " is no file");
  return file;
}

UniqueFd Open(const Inherited& what) {
  switch (what.kind) {
    case Inherited::Kind::kListen:
      return Listen(what.path);
    case Inherited::Kind::kConnect:
      return Connect(what.path);
    case Inherited::Kind::kAppend:
      return Append(what.path);
    case Inherited::Kind::kWrite:
      return Write(what.path);
    case Inherited::Kind::kTap:
      return OpenTap(what.path);
  }
  __builtin_unreachable();
}

/** What is given by the caller, and is the program's no more. */
struct Given {
  UniqueFd user_namespace;
  UniqueFd share;
  UniqueFd base;
};

UniqueFd OutOfTheWay(const char* key, std::optional<int> fd) {
  if (!fd) return UniqueFd();
  UniqueFd moved(::fcntl(*fd, F_DUPFD_CLOEXEC, kOutOfTheWay));
  if (!moved.valid()) DieOfErrno(ExitCode::kUsage, "arguments", std::string(key) + "=" + std::to_string(*fd));
  return moved;
}

/** Moves it out of the way of what is inherited, and closes everything else but the standard ones. */
Given KeepAlone(const EnterOptions& options) {
  Given given{OutOfTheWay("userns", options.user_namespace), OutOfTheWay("share", options.share),
              OutOfTheWay("base", options.base)};
  int kept[] = {given.user_namespace.get(), given.share.get(), given.base.get()};
  std::sort(std::begin(kept), std::end(kept));
  int first = kFirstInherited;
  for (const int number : kept) {
    if (number < 0) continue;
    if (number > first) ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(number - 1), 0);
    first = number + 1;
  }
  ::close_range(static_cast<unsigned>(first), ~0U, 0);
  return given;
}

/** They get the lowest numbers, for nothing but the standard ones is open there. */
std::vector<UniqueFd> OpenInherited(const std::vector<Inherited>& list) {
  std::vector<UniqueFd> opened;
  for (const Inherited& what : list) {
    opened.push_back(Open(what));
    const int expected = kFirstInherited + static_cast<int>(opened.size()) - 1;
    if (opened.back().get() != expected) Die(ExitCode::kSocket, "descriptors", what.path + " got another number");
  }
  return opened;
}

}  // namespace

void Enter(std::span<char*> arguments) {
  EnterOptions options = ReadEnterOptions(arguments);
  Given given = KeepAlone(options);
  if (given.share.valid()) options.jail.trees = ShareTrees(given.share.Release(), given.base.Release());
  const std::vector<UniqueFd> inherited = OpenInherited(options.inherited);
  SetLimits(options.open_files);
  ::umask(022);  // another user is to find its way in the jail
  EnterJail(options.jail);
  for (const UniqueFd& fd : inherited) ::fcntl(fd.get(), F_SETFD, 0);
  if (options.processes) LimitProcesses(*options.processes);
  if (given.user_namespace.valid()) {
    // Last: its root could do none of what is above.
    EnterUserNamespace(given.user_namespace);
    given.user_namespace.Reset();
  }
  DropPrivileges(options.user, options.capabilities);
  if (options.vmm_calls) AllowVmmCalls();
  if (options.no_syncfs) RefuseSyncfs();
  ::execve(options.program.c_str(), options.argv.data(), environ);
  DieOfErrno(ExitCode::kStart, "execute", options.program);
}

}  // namespace a3s
