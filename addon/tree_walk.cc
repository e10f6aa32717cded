#include "tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include <cerrno>

#include "open_in.h"

namespace a3s {

namespace {

constexpr size_t kMaxOpenDirectories = 64;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool IsDots(const char* name) { return ::strcmp(name, ".") == 0 || ::strcmp(name, "..") == 0; }

/** The kind as the directory tells it; asked for where the file system does not say. */
bool IsDirectory(int directory, const struct dirent64& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat info;
  return ::fstatat(directory, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

Failure TreeWalk::Run(int parent, const std::string& name, const std::string& top_path) {
  parent_ = parent;
  top_path_ = top_path;
  struct stat info;
  if (::fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return Failed("fstatat", top_path);
  if (!S_ISDIR(info.st_mode)) {
    const int number = visitor_.OnFile(parent, name.c_str());
    return number == 0 ? Failure() : FailedWith(number, "unlinkat", top_path);
  }
  if (const int number = Enter(parent, name)) {
    const int passed = number == EXDEV ? visitor_.OnOtherMount(parent, name.c_str()) : number;
    return passed == 0 ? Failure() : FailedWith(passed, "openat2", top_path);
  }
  while (!stack_.empty()) {
    if (Failure failure = Step()) return failure;
  }
  return std::nullopt;
}

int TreeWalk::Enter(int parent, const std::string& name) {
  Frame frame;
  frame.fd = OpenAt2(parent, name, kDirectoryFlags, 0, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
  struct stat info;
  if (!frame.fd.valid() || ::fstat(frame.fd.get(), &info) != 0) return errno;
  frame.device = info.st_dev;
  frame.inode = info.st_ino;
  frame.name = name;
  visitor_.OnDirectory(info);
  stack_.push_back(std::move(frame));
  if (stack_.size() > kMaxOpenDirectories) stack_[stack_.size() - 1 - kMaxOpenDirectories].fd.Reset();
  return 0;
}

Failure TreeWalk::Step() {
  Frame& top = stack_.back();
  if (!top.directories.empty()) {
    const std::string name = std::move(top.directories.back());
    top.directories.pop_back();
    int number = Enter(top.fd.get(), name);
    if (number == EXDEV) number = visitor_.OnOtherMount(stack_.back().fd.get(), name.c_str());
    // ENOENT: gone meanwhile. ELOOP, ENOTDIR: became something else; a removal finds it when it reads again.
    if (number == 0 || number == ENOENT || number == ELOOP || number == ENOTDIR) return std::nullopt;
    return Error(number, name);
  }
  if (!top.at_end) {
    const int number = ReadSome(top);
    return number == 0 ? Failure() : Error(number, at_);
  }
  const int number = Leave();
  return number == 0 ? Failure() : Error(number, "");
}

int TreeWalk::ReadSome(Frame& frame) {
  const int directory = frame.fd.get();
  at_.clear();
  const long length = ::syscall(SYS_getdents64, directory, buffer_.data(), buffer_.size());
  if (length < 0) return errno;
  frame.at_end = length == 0;
  for (long at = 0; at < length;) {
    const auto& entry = *reinterpret_cast<const struct dirent64*>(buffer_.data() + at);
    at += entry.d_reclen;
    frame.offset = entry.d_off;
    if (IsDots(entry.d_name)) continue;
    if (IsDirectory(directory, entry)) {
      frame.directories.emplace_back(entry.d_name);
      continue;
    }
    const int number = visitor_.OnFile(directory, entry.d_name);
    if (number != 0 && number != ENOENT) {
      at_ = entry.d_name;
      return number;
    }
  }
  return 0;
}

int TreeWalk::Leave() {
  const int parent = ParentFd();
  if (parent < 0) return errno;
  TreeVisitor::After after = TreeVisitor::After::kDone;
  const int number = visitor_.AfterDirectory(parent, stack_.back().name.c_str(), after);
  if (number != 0 && number != ENOENT) return number;
  if (after == TreeVisitor::After::kReadAgain) {
    Frame& again = stack_.back();
    if (::lseek(again.fd.get(), 0, SEEK_SET) < 0) return errno;
    again.at_end = false;
    return 0;
  }
  stack_.pop_back();
  return 0;
}

/** The descriptor of the directory that holds the top one. One closed for its depth is opened again, and must be the
 * same.
 */
int TreeWalk::ParentFd() {
  if (stack_.size() == 1) return parent_;
  Frame& parent = stack_[stack_.size() - 2];
  if (parent.fd.valid()) return parent.fd.get();
  UniqueFd fd(::openat(stack_.back().fd.get(), "..", kDirectoryFlags));
  struct stat info;
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0) return -1;
  if (info.st_dev != parent.device || info.st_ino != parent.inode) {
    errno = ESTALE;
    return -1;
  }
  if (parent.offset != 0 && ::lseek(fd.get(), parent.offset, SEEK_SET) < 0) return -1;
  parent.fd = std::move(fd);
  return parent.fd.get();
}

SystemError TreeWalk::Error(int number, const std::string& name) const {
  std::string path = top_path_;
  for (size_t i = 1; i < stack_.size(); i++) path += "/" + stack_[i].name;
  if (!name.empty()) path += "/" + name;
  return FailedWith(number, "walk", path);
}

}  // namespace a3s
