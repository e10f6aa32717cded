#include "broker.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "../addon/unique_fd.h"
#include "failure.h"
#include "privileges.h"

namespace a3s {

namespace {

/** NAME NUL ATTRIBUTE NUL VALUE, or NAME NUL NUL NODE; the kernel takes no value above 64 KiB. */
constexpr size_t kMessageBytes = 256 + 256 + 64 * 1024;

UniqueFd channel;
pid_t broker = -1;

struct Control {
  alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
};

/** Length of the message, 0 at the end. The directory it is about comes as a descriptor. */
ssize_t Receive(int socket, char* buffer, UniqueFd& directory) {
  struct iovec part = {buffer, kMessageBytes};
  Control control = {};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const struct cmsghdr* header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header != nullptr && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int fd = -1;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    directory = UniqueFd(fd);
  }
  return got;
}

/** The mount that a directory is of; 0 where it can't be told. */
uint64_t MountOf(int directory) {
  struct statx found = {};
  if (::statx(directory, "", AT_EMPTY_PATH, STATX_MNT_ID, &found) != 0 || (found.stx_mask & STATX_MNT_ID) == 0)
    return 0;
  return found.stx_mnt_id;
}

/** A device that the layer has, which the mount lets nobody open. */
struct Node {
  mode_t mode;
  dev_t device;
};

int MakeNode(const std::string& name, std::string_view value, const UniqueFd& directory) {
  Node node;
  if (value.size() != sizeof node) return EINVAL;
  memcpy(&node, value.data(), sizeof node);
  if ((node.mode & ~(S_IFMT | mode_t{0777})) != 0 || (!S_ISCHR(node.mode) && !S_ISBLK(node.mode))) return EPERM;
  return ::mknodat(directory.get(), name.c_str(), node.mode, node.device) == 0 ? 0 : errno;
}

/** `mount`: the jail's only one. A directory of any other is none of the layer's, however its descriptor was come by.
 */
int Serve(std::string_view message, const UniqueFd& directory, uint64_t mount) {
  const size_t name_end = message.find('\0');
  if (name_end == std::string_view::npos || !directory.valid()) return EINVAL;
  const size_t attribute_end = message.find('\0', name_end + 1);
  if (attribute_end == std::string_view::npos) return EINVAL;
  const std::string name(message.substr(0, name_end));
  const std::string attribute(message.substr(name_end + 1, attribute_end - name_end - 1));
  const std::string_view value = message.substr(attribute_end + 1);
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") return EINVAL;
  if (mount == 0 || MountOf(directory.get()) != mount) return EXDEV;
  if (attribute.empty()) return MakeNode(name, value, directory);
  if (!MayBeSet(attribute, value)) return EPERM;
  if (::fchdir(directory.get()) != 0) return errno;
  return ::lsetxattr(name.c_str(), attribute.c_str(), value.data(), value.size(), 0) == 0 ? 0 : errno;
}

[[noreturn]] void RunBroker(int socket, pid_t unpacker, const UserNamespace& users) {
  if (users.fd.valid()) {
    // As a user that the mapped mount knows: what it makes is root's on the disk. capset gives the capabilities back.
    ::setfsgid(users.root_id);
    ::setfsuid(users.root_id);
    ::close(users.fd.get());
  }
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) DieOfErrno("die with the unpacker");
  if (::getppid() != unpacker) ::_exit(0);
  KeepCapabilities({CAP_SYS_ADMIN, CAP_DAC_OVERRIDE, CAP_MKNOD});
  const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  const uint64_t mount = MountOf(root.get());
  AllowCallsOf(Role::kBroker);
  static char buffer[kMessageBytes];
  for (;;) {
    UniqueFd directory;
    const ssize_t got = Receive(socket, buffer, directory);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) ::_exit(0);
    const int outcome = Serve({buffer, static_cast<size_t>(got)}, directory, mount);
    if (::write(socket, &outcome, sizeof outcome) != sizeof outcome) ::_exit(0);
  }
}

bool StartsWith(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

/** Sends one message about something in the directory; what the broker says, an errno or 0. */
int Ask(int dirfd, std::string text) {
  if (text.size() > kMessageBytes) return E2BIG;
  struct iovec part = {text.data(), text.size()};
  Control control = {};
  struct msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &dirfd, sizeof dirfd);
  ssize_t sent;
  do sent = ::sendmsg(channel.get(), &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno;
  int outcome = EIO;
  ssize_t got;
  do got = ::read(channel.get(), &outcome, sizeof outcome);
  while (got < 0 && errno == EINTR);
  return got == sizeof outcome ? outcome : EIO;
}

}  // namespace

bool MayBeSet(std::string_view attribute, std::string_view value) {
  if (attribute == "trusted.overlay.opaque") return value == "y";
  if (StartsWith(attribute, "trusted.overlay.")) return false;
  return StartsWith(attribute, "trusted.") || StartsWith(attribute, "security.");
}

void StartBroker(const UserNamespace& users) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) DieOfErrno("socketpair");
  const pid_t unpacker = ::getpid();
  broker = ::fork();
  if (broker < 0) DieOfErrno("fork");
  if (broker == 0) {
    ::close(ends[0]);
    ::close(STDIN_FILENO);
    RunBroker(ends[1], unpacker, users);
  }
  ::close(ends[1]);
  channel = UniqueFd(ends[0]);
}

int BrokerSetAttribute(int dirfd, const char* name, const char* attribute, std::string_view value) {
  std::string text = std::string(name) + '\0' + attribute + '\0';
  text += value;
  return Ask(dirfd, std::move(text));
}

int BrokerMakeDevice(int dirfd, const char* name, mode_t mode, dev_t device) {
  const Node node = {mode, device};
  std::string text = std::string(name) + '\0' + '\0';
  text.append(reinterpret_cast<const char*>(&node), sizeof node);
  return Ask(dirfd, std::move(text));
}

void EndBroker() {
  channel.Reset();
  if (broker <= 0) return;
  int status;
  while (::waitpid(broker, &status, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace a3s
