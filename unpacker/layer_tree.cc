#include "layer_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "broker.h"
#include "failure.h"
#include "limits.h"
#include "open_beneath.h"
#include "utf8.h"

namespace a3s {

namespace {

constexpr char kRoot[] = "fs";
constexpr char kOpaque[] = "trusted.overlay.opaque";
constexpr mode_t kPermissions = 0777;

int OpenRoot(int around) {
  if (::mkdirat(around, kRoot, 0755) != 0) FailOfErrno("mkdir", kRoot, errno);
  const int root = OpenBeneath(around, kRoot, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (root < 0) FailOfErrno("open", kRoot, errno);
  return root;
}

[[noreturn]] void NoTarget(const std::string& link) {
  Fail(ErrorCode::kInternal, "the hard link's target \"" + Shown(link) + "\" is not in the layer");
}

mode_t TypeBits(EntryType type) {
  if (type == EntryType::kCharacter) return S_IFCHR;
  return type == EntryType::kBlock ? S_IFBLK : S_IFIFO;
}

void WriteAll(int fd, Piece piece, const std::string& name) {
  while (piece.size > 0) {
    const ssize_t written = ::write(fd, piece.data, piece.size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) FailOfErrno("write", name, errno);
    piece.data += written;
    piece.size -= static_cast<size_t>(written);
  }
}

void WriteSparse(int fd, const TarEntry& entry, TarReader& reader, const std::string& name) {
  Piece piece;
  for (auto [offset, bytes] : entry.sparse) {
    if (bytes > 0 && ::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0) FailOfErrno("lseek", name, errno);
    while (bytes > 0) {
      if (piece.size == 0) piece = reader.Content();
      const size_t part = piece.size < bytes ? piece.size : static_cast<size_t>(bytes);
      WriteAll(fd, {piece.data, part}, name);
      piece.data += part;
      piece.size -= part;
      bytes -= part;
    }
  }
  if (::ftruncate(fd, static_cast<off_t>(*entry.sparse_length)) != 0) FailOfErrno("ftruncate", name, errno);
}

struct timespec TimeSpec(const Time& time) {
  return {time.seconds, static_cast<long>(time.nanoseconds)};
}

}  // namespace

LayerTree::LayerTree(int around, uint64_t packed_bytes, uint32_t owners)
    : around_(around), owners_(owners), budget_(packed_bytes), directories_(OpenRoot(around)) {}

void LayerTree::Write(const TarEntry& entry, TarReader& reader) {
  CheckOwners(entry);
  Parts parts = EntryParts(entry.name);
  if (parts.empty()) {
    MakeRoot(entry);
    return;
  }
  const std::string name = std::move(parts.back());
  parts.pop_back();
  const DirectoryId parent = ParentOf(parts);
  const Whiteout whiteout = WhiteoutOf(name);
  switch (whiteout.kind) {
    case Whiteout::Kind::kIgnored:
      return;
    case Whiteout::Kind::kOpaque:
      MakeOpaque(parent);
      return;
    case Whiteout::Kind::kRemoved:
      Hide({parent, whiteout.name}, entry.mtime);
      return;
    case Whiteout::Kind::kNone:
      Make({parent, name}, entry, reader);
  }
}

/** The kernel would say EINVAL. A namespace has half of all ids: the host's own are the other half. */
void LayerTree::CheckOwners(const TarEntry& entry) {
  const uint32_t highest = entry.uid > entry.gid ? entry.uid : entry.gid;
  if (highest < owners_ || entry.type == EntryType::kHardLink) return;
  Fail(ErrorCode::kInternal, "its owner " + std::to_string(highest) + " is above " + std::to_string(owners_ - 1) +
                                 ", the highest that an image may have here");
}

void LayerTree::Make(const Slot& slot, const TarEntry& entry, TarReader& reader) {
  budget_.Name(slot.name);
  budget_.Attributes(entry);
  switch (entry.type) {
    case EntryType::kDirectory:
      return MakeDirectory(slot, entry);
    case EntryType::kFile:
      return MakeFile(slot, entry, reader);
    case EntryType::kHardLink:
      return MakeHardLink(slot, entry);
    case EntryType::kSymlink:
      return MakeSymlink(slot, entry);
    case EntryType::kCharacter:
    case EntryType::kBlock:
    case EntryType::kFifo:
      return MakeNode(slot, entry);
  }
}

void LayerTree::MakeRoot(const TarEntry& entry) {
  if (entry.type != EntryType::kDirectory) Escapes("its root is not a directory");
  Dress(around_, kRoot, entry, true, false);
  Directory& root = directories_.At(0);
  root.implied = false;
  root.mtime = entry.mtime;
  root.special = (entry.mode & S_ISGID) != 0 || !entry.xattrs.empty();
}

void LayerTree::MakeDirectory(const Slot& slot, const TarEntry& entry) {
  std::optional<DirectoryId> id = directories_.Find(slot.parent, slot.name);
  const bool fresh = !id;
  if (fresh) {
    budget_.Directory();
    directories_.CheckRoom(slot.parent, slot.name);
    const bool hides = whiteouts_.count({slot.parent, slot.name}) != 0;
    const char* name = slot.name.c_str();
    while (::mkdirat(directories_.Fd(slot.parent), name, entry.mode & (kPermissions | S_ISVTX)) != 0) {
      if (errno != EEXIST) FailOfErrno("mkdir", slot.name, errno);
      Clear(slot);
    }
    id = directories_.Add(slot.parent, slot.name);
    if (hides) MakeOpaque(*id);  // removed and made again: nothing of the lower one shows through
  }
  Dress(directories_.Fd(slot.parent), slot.name.c_str(), entry, directories_.At(slot.parent).special, fresh);
  Directory& directory = directories_.At(*id);
  directory.implied = false;
  directory.mtime = entry.mtime;
  directory.special = (entry.mode & S_ISGID) != 0 || !entry.xattrs.empty();
}

void LayerTree::MakeFile(const Slot& slot, const TarEntry& entry, TarReader& reader) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  budget_.Inode();
  int fd;
  while ((fd = OpenBeneath(directories_.Fd(slot.parent), slot.name.c_str(), flags, entry.mode & kPermissions)) < 0) {
    if (errno != EEXIST) FailOfErrno("open", slot.name, errno);
    Clear(slot);
  }
  if (entry.sparse_length) {
    budget_.Stretches(entry);
    WriteSparse(fd, entry, reader, slot.name);
  } else {
    WriteContent(fd, reader, slot.name);
  }
  // Owner first: chown takes set-uid bits and capabilities.
  const bool special = directories_.At(slot.parent).special;
  const bool own = special || entry.uid != 0 || entry.gid != 0;
  if (own && ::fchown(fd, entry.uid, entry.gid) != 0) FailOfErrno("chown", slot.name, errno);
  const bool more = special || (entry.mode & ~kPermissions) != 0;
  if (more && ::fchmod(fd, entry.mode) != 0) FailOfErrno("chmod", slot.name, errno);
  if (!entry.xattrs.empty()) SetAttributes(directories_.Fd(slot.parent), slot.name.c_str(), fd, entry);
  const struct timespec times[2] = {TimeSpec(entry.mtime), TimeSpec(entry.mtime)};
  if (::futimens(fd, times) != 0) FailOfErrno("utimens", slot.name, errno);
  if (::close(fd) != 0) FailOfErrno("close", slot.name, errno);
}

void LayerTree::WriteContent(int fd, TarReader& reader, const std::string& name) {
  uint64_t written = 0;
  for (Piece piece = reader.Content(); piece.size > 0; piece = reader.Content()) {
    budget_.Content(piece.size);
    WriteAll(fd, piece, name);
    written += piece.size;
  }
  budget_.EndOfContent(written);
}

/** The target carries the attributes already: a change of owner here would take its capabilities. */
void LayerTree::MakeHardLink(const Slot& slot, const TarEntry& entry) {
  Parts parts = LinkParts(entry.link);
  const std::string name = std::move(parts.back());
  parts.pop_back();
  const std::optional<DirectoryId> target = Resolve(parts, false);
  if (!target || whiteouts_.count({*target, name}) != 0) NoTarget(entry.link);
  if (*target == slot.parent && name == slot.name) NoTarget(entry.link);
  if (directories_.Find(*target, name)) Escapes("its hard link leads to a directory");
  const std::optional<DirectoryId> replaced = directories_.Find(slot.parent, slot.name);
  if (replaced && directories_.IsWithin(*target, *replaced)) NoTarget(entry.link);
  if (Look(*target, name) == Kind::kNothing) NoTarget(entry.link);
  for (;;) {
    const int to = directories_.Fd(slot.parent);
    if (::linkat(directories_.Fd(*target), name.c_str(), to, slot.name.c_str(), 0) == 0) return;
    if (errno != EEXIST) FailOfErrno("link", slot.name, errno);
    Clear(slot);
  }
}

void LayerTree::MakeSymlink(const Slot& slot, const TarEntry& entry) {
  budget_.Link(entry.link);
  while (::symlinkat(entry.link.c_str(), directories_.Fd(slot.parent), slot.name.c_str()) != 0) {
    if (errno != EEXIST) FailOfErrno("symlink", slot.name, errno);
    Clear(slot);
  }
  const int dirfd = directories_.Fd(slot.parent);
  Dress(dirfd, slot.name.c_str(), entry, directories_.At(slot.parent).special, true);
  SetTime(dirfd, slot.name.c_str(), entry.mtime);
}

void LayerTree::MakeNode(const Slot& slot, const TarEntry& entry) {
  const mode_t mode = TypeBits(entry.type) | (entry.mode & kPermissions);
  budget_.Inode();
  const auto make = [&](int parent, const char* name) {
    if (entry.type != EntryType::kFifo) {
      return BrokerMakeDevice(parent, name, mode, ::makedev(entry.major, entry.minor));
    }
    return ::mknodat(parent, name, mode, 0) == 0 ? 0 : errno;
  };
  while (const int failed = make(directories_.Fd(slot.parent), slot.name.c_str())) {
    if (failed != EEXIST) FailOfErrno("mknod", slot.name, failed);
    Clear(slot);
  }
  const int dirfd = directories_.Fd(slot.parent);
  Dress(dirfd, slot.name.c_str(), entry, directories_.At(slot.parent).special, true);
  SetTime(dirfd, slot.name.c_str(), entry.mtime);
}

void LayerTree::MakeOpaque(DirectoryId id) {
  if (directories_.At(id).opaque) return;
  const int parent = id == 0 ? around_ : directories_.Fd(directories_.At(id).parent);
  const char* name = id == 0 ? kRoot : directories_.At(id).name.c_str();
  const int failed = BrokerSetAttribute(parent, name, kOpaque, "y");
  if (failed != 0) FailOfErrno("setxattr", name, failed);
  directories_.At(id).opaque = true;
}

/** A whiteout speaks of lower layers only: what this layer has of that name stays. */
void LayerTree::Hide(const Slot& slot, const Time& mtime) {
  if (const std::optional<DirectoryId> directory = directories_.Find(slot.parent, slot.name)) {
    MakeOpaque(*directory);
    return;
  }
  budget_.Name(slot.name);
  budget_.Inode();
  if (::mknodat(directories_.Fd(slot.parent), slot.name.c_str(), S_IFCHR, 0) == 0) {
    whiteouts_.emplace(slot.parent, slot.name);
    SetTime(directories_.Fd(slot.parent), slot.name.c_str(), mtime);  // the same tree each time
  } else if (errno != EEXIST) {
    FailOfErrno("mknod", slot.name, errno);
  }
}

void LayerTree::Finish() {
  for (DirectoryId id = directories_.Count(); id-- > 0;) {
    const Directory& directory = directories_.At(id);
    if (directory.removed || !directory.mtime) continue;
    SetTime(id == 0 ? around_ : directories_.Fd(directory.parent), id == 0 ? kRoot : directory.name.c_str(),
            *directory.mtime);
  }
}

std::string LayerTree::ImpliedDirectories() {
  std::string paths;
  for (DirectoryId id = 0; id < directories_.Count(); id++) {
    if (!directories_.At(id).removed && directories_.At(id).implied) paths += directories_.PathOf(id) + '\0';
  }
  return paths;
}

std::string LayerTree::OpaqueDirectories() {
  std::string paths;
  for (DirectoryId id = 0; id < directories_.Count(); id++) {
    if (directories_.At(id).removed || !directories_.At(id).opaque) continue;
    const std::string path = directories_.PathOf(id);
    if (IsUtf8(path)) paths += path + '\0';
    if (paths.size() > Limits::kOpaqueBytes) {
      Fail(ErrorCode::kInternal, "the layer has too many directories that hide lower layers");
    }
  }
  return paths;
}

}  // namespace a3s
