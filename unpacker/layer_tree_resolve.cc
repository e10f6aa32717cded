// The other half of LayerTree: the way to an entry, what stands in its way, and how it is dressed.

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "broker.h"
#include "failure.h"
#include "layer_tree.h"
#include "limits.h"

namespace a3s {

namespace {

/** As the kernel's own limit, path_resolution(7). */
constexpr int kMaxLinks = 40;

std::string ReadLink(int dirfd, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t length = ::readlinkat(dirfd, name.c_str(), target, sizeof target);
  if (length < 0) FailOfErrno("readlink", name, errno);
  return {target, static_cast<size_t>(length)};
}

/** The parts of a link's target, in the order in which they are taken from the end of a list. */
void PushReversed(std::string_view target, Parts& pending) {
  while (!target.empty()) {
    const size_t slash = target.rfind('/');
    const std::string_view part = slash == std::string_view::npos ? target : target.substr(slash + 1);
    if (!part.empty()) pending.emplace_back(part);
    target = slash == std::string_view::npos ? std::string_view() : target.substr(0, slash);
  }
}

std::string Join(const Parts& parts) {
  std::string path;
  for (const std::string& part : parts) path += path.empty() ? part : "/" + part;
  return path;
}

bool StartsWith(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

/** File systems without an attribute's kind, and user attributes of what may have none (xattr(7)). */
bool IsUnsupported(int number, std::string_view attribute) {
  return number == ENOTSUP || (number == EPERM && StartsWith(attribute, "user."));
}

}  // namespace

DirectoryId LayerTree::ParentOf(const Parts& parts) {
  const std::string path = Join(parts);
  if (path == last_parent_) return last_parent_id_;
  const DirectoryId id = *Resolve(parts, true);
  last_parent_ = path;
  last_parent_id_ = id;
  return id;
}

std::optional<DirectoryId> LayerTree::Resolve(const Parts& parts, bool make) {
  Parts pending(parts.rbegin(), parts.rend());
  DirectoryId at = 0;
  int links = 0;
  while (!pending.empty()) {
    std::string part;
    part.swap(pending.back());
    pending.pop_back();
    if (part == ".") continue;
    if (part == "..") {  // of a link's target; above the root is the root
      at = directories_.At(at).parent;
      continue;
    }
    if (const std::optional<DirectoryId> found = directories_.Find(at, part)) {
      at = *found;
      continue;
    }
    const bool hidden = whiteouts_.count({at, part}) != 0;
    const Kind kind = hidden ? Kind::kNothing : Look(at, part);
    if (kind == Kind::kLink) {
      if (++links > kMaxLinks) Escapes("too many links lead to it");
      const std::string target = ReadLink(directories_.Fd(at), part);
      if (StartsWith(target, "/")) at = 0;
      PushReversed(target, pending);
      continue;
    }
    if (kind == Kind::kOther) {
      const std::string above = directories_.PathOf(at);
      Escapes("\"" + Shown(above.empty() ? part : above + "/" + part) + "\" is a file, not a directory");
    }
    if (!make) return std::nullopt;
    at = MakeImplied(at, part);
  }
  return at;
}

DirectoryId LayerTree::MakeImplied(DirectoryId parent, const std::string& name) {
  directories_.CheckRoom(parent, name);
  budget_.Name(name);
  budget_.Directory();
  const bool hides = whiteouts_.count({parent, name}) != 0;
  if (hides) Clear({parent, name});
  if (::mkdirat(directories_.Fd(parent), name.c_str(), 0755) != 0) FailOfErrno("mkdir", name, errno);
  const bool inherits = directories_.At(parent).special;
  if (inherits && ::fchownat(directories_.Fd(parent), name.c_str(), 0, 0, AT_SYMLINK_NOFOLLOW) != 0) {
    FailOfErrno("chown", name, errno);
  }
  if (inherits && ::fchmodat(directories_.Fd(parent), name.c_str(), 0755, 0) != 0) FailOfErrno("chmod", name, errno);
  const DirectoryId id = directories_.Add(parent, name);
  directories_.At(id).implied = true;
  if (hides) MakeOpaque(id);
  return id;
}

LayerTree::Kind LayerTree::Look(DirectoryId parent, const std::string& name) {
  struct stat found;
  if (::fstatat(directories_.Fd(parent), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return Kind::kNothing;
    FailOfErrno("stat", name, errno);
  }
  if (S_ISLNK(found.st_mode)) return Kind::kLink;
  return S_ISDIR(found.st_mode) ? Kind::kDirectory : Kind::kOther;
}

void LayerTree::Clear(const Slot& slot) {
  last_parent_.clear();
  last_parent_id_ = 0;
  whiteouts_.erase({slot.parent, slot.name});
  if (const std::optional<DirectoryId> directory = directories_.Find(slot.parent, slot.name)) {
    RemoveDirectory(*directory);
  } else if (::unlinkat(directories_.Fd(slot.parent), slot.name.c_str(), 0) != 0) {
    FailOfErrno("unlink", slot.name, errno);
  }
}

/** Deepest first, and no directory but those that are known: there are no others. */
void LayerTree::RemoveDirectory(DirectoryId top) {
  const std::vector<DirectoryId> tree = directories_.TreeOf(top);
  for (auto id = tree.rbegin(); id != tree.rend(); ++id) {
    const std::string name = directories_.At(*id).name;
    // A descriptor of its own: fdopendir takes it over.
    const int fd = ::fcntl(directories_.Fd(*id), F_DUPFD_CLOEXEC, 0);
    DIR* listing = fd < 0 ? nullptr : ::fdopendir(fd);
    if (listing == nullptr) FailOfErrno("open", name, errno);
    ::rewinddir(listing);
    for (errno = 0; const struct dirent* found = ::readdir(listing); errno = 0) {
      const std::string_view entry = found->d_name;
      if (entry == "." || entry == "..") continue;
      if (::unlinkat(fd, found->d_name, 0) != 0) FailOfErrno("unlink", entry, errno);
    }
    if (errno != 0) FailOfErrno("readdir", name, errno);
    ::closedir(listing);
    if (::unlinkat(directories_.Fd(directories_.At(*id).parent), name.c_str(), AT_REMOVEDIR) != 0) {
      FailOfErrno("rmdir", name, errno);
    }
  }
  for (const DirectoryId id : tree) {
    whiteouts_.erase(whiteouts_.lower_bound({id, ""}), whiteouts_.lower_bound({id + 1, ""}));
  }
  directories_.Forget(tree);
}

void LayerTree::Dress(int dirfd, const char* name, const TarEntry& entry, bool special, bool fresh) {
  const bool own = !fresh || special || entry.uid != 0 || entry.gid != 0;
  if (own && ::fchownat(dirfd, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) FailOfErrno("chown", name, errno);
  // Nothing that was just made with its permissions needs them again; a link has none.
  const mode_t given = entry.type == EntryType::kDirectory ? 01777 : 0777;
  const bool change = !fresh || special || (entry.mode & ~given) != 0;
  if (entry.type != EntryType::kSymlink && change && ::fchmodat(dirfd, name, entry.mode, 0) != 0) {
    FailOfErrno("chmod", name, errno);
  }
  if (!entry.xattrs.empty()) SetAttributes(dirfd, name, -1, entry);
}

void LayerTree::SetAttributes(int dirfd, const char* name, int fd, const TarEntry& entry) {
  for (const auto& [attribute, value] : entry.xattrs) {
    if (attribute.find('\0') != std::string::npos) MalformedTar("an attribute's name has a NUL in it");
    if (StartsWith(attribute, "trusted.overlay.") || StartsWith(attribute, "user.overlay."))
      continue;  // overlayfs's own
    int failed = 0;
    if (attribute != "security.capability" && MayBeSet(attribute, value)) {
      failed = BrokerSetAttribute(dirfd, name, attribute.c_str(), value);
    } else if (fd >= 0) {
      if (::fsetxattr(fd, attribute.c_str(), value.data(), value.size(), 0) != 0) failed = errno;
    } else {
      if (::fchdir(dirfd) != 0) FailOfErrno("chdir", name, errno);
      if (::lsetxattr(name, attribute.c_str(), value.data(), value.size(), 0) != 0) failed = errno;
    }
    if (failed != 0 && !IsUnsupported(failed, attribute)) FailOfErrno("setxattr", attribute, failed);
  }
}

void LayerTree::SetTime(int dirfd, const char* name, const Time& mtime) {
  const struct timespec time = {mtime.seconds, static_cast<long>(mtime.nanoseconds)};
  const struct timespec times[2] = {time, time};
  if (::utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) != 0) FailOfErrno("utimens", name, errno);
}

}  // namespace a3s
