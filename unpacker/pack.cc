#include "pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "erofs_image.h"
#include "failure.h"
#include "limits.h"
#include "open_beneath.h"
#include "pack_attributes.h"
#include "pack_directory.h"

namespace a3s {

namespace {

using erofs::Image;
using erofs::Inode;
using erofs::InodeId;
using erofs::kBlock;
using erofs::Layout;

/** What is left of a file behind its last whole block stands with its inode up to here: inodes that lie close together
 * are read together. */
constexpr uint64_t kMaxTail = 1024;
/** Of a sparse file; its chunks are as wide as it takes. */
constexpr uint64_t kMaxChunks = 1 << 20;
/** What files with holes may take beyond what they have in them: a chunk is there as a whole. */
constexpr uint64_t kMaxPadding = uint64_t{256} << 20;

std::string_view BytesOf(const Inode& inode) { return {reinterpret_cast<const char*>(&inode), sizeof inode}; }

/** Of readdir, which EROFS has taken over. */
uint8_t TypeOf(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 1;
    case S_IFDIR:
      return 2;
    case S_IFCHR:
      return 3;
    case S_IFBLK:
      return 4;
    case S_IFIFO:
      return 5;
    case S_IFSOCK:
      return 6;
    case S_IFLNK:
      return 7;
    default:
      return 0;
  }
}

/** Something of the tree: what stat says, and its attributes as they stand behind its inode. */
struct Thing {
  struct stat facts;
  std::string attributes;
};

class Packer {
 public:
  explicit Packer(int around) : image_(around) {}

  void Run(int tree, const std::array<uint8_t, 16>& uuid) {
    const Thing top = Look(tree, ".");
    image_.Finish(PackDirectoryOf(tree, top, 0), uuid);
  }

 private:
  static Thing Look(int directory, const char* name) {
    Thing thing = {};
    if (::fstatat(directory, name, &thing.facts, AT_SYMLINK_NOFOLLOW) != 0) FailOfErrno("stat", name, errno);
    if (::fchdir(directory) != 0) FailOfErrno("chdir", name, errno);
    thing.attributes = PackAttributes(name);
    return thing;
  }

  Inode InodeOf(const Thing& thing) {
    const struct stat& facts = thing.facts;
    Inode inode = {};
    inode.format = erofs::FormatOf(Layout::kPlain);
    const size_t attributes = thing.attributes.size();
    if (attributes > 0) {
      const size_t behind_header = attributes - sizeof(erofs::AttributesHeader);
      inode.attributes = static_cast<uint16_t>(behind_header / erofs::kAttributeUnit + 1);
    }
    inode.mode = static_cast<uint16_t>(facts.st_mode);
    inode.size = static_cast<uint64_t>(facts.st_size);
    inode.number = image_.NextNumber();
    inode.uid = facts.st_uid;
    inode.gid = facts.st_gid;
    inode.mtime_s = static_cast<uint64_t>(facts.st_mtim.tv_sec);
    inode.mtime_ns = static_cast<uint32_t>(facts.st_mtim.tv_nsec);
    inode.links = static_cast<uint32_t>(facts.st_nlink);
    return inode;
  }

  /** With what is behind it. */
  void WriteInode(InodeId id, const Inode& inode, const Thing& thing, std::string_view tail) {
    std::string bytes(BytesOf(inode));
    image_.Write(id, bytes.append(thing.attributes).append(tail));
  }

  InodeId PackDirectoryOf(int directory, const Thing& thing, InodeId parent) {
    if (++depth_ > Limits::kDepth + 1) Fail(ErrorCode::kInternal, "the tree is deeper than a layer is");
    std::vector<PackedName> names = NamesIn(directory);
    const uint64_t size = DirectorySize(names);
    const uint64_t before = sizeof(Inode) + thing.attributes.size();
    const bool has_tail = size % kBlock > 0 && before + size % kBlock <= kBlock;
    const InodeId id = image_.Place(before + (has_tail ? size % kBlock : 0));
    PackWhatIsIn(directory, names, id, parent == 0 ? id : parent);
    const std::string content = PackDirectory(names);
    Inode inode = InodeOf(thing);
    inode.size = size;
    inode.links = 2;
    for (const PackedName& one : names) {
      if (one.type == TypeOf(S_IFDIR) && one.name != "." && one.name != "..") ++inode.links;
    }
    WriteContent(id, inode, thing, content, has_tail);
    --depth_;
    return id;
  }

  void PackWhatIsIn(int directory, std::vector<PackedName>& names, InodeId id, InodeId parent) {
    for (PackedName& one : names) {
      if (one.name == "." || one.name == "..") {
        one.inode = one.name == "." ? id : parent;
        one.type = TypeOf(S_IFDIR);
        continue;
      }
      const Thing thing = Look(directory, one.name.c_str());
      one.type = TypeOf(thing.facts.st_mode);
      one.inode = PackOne(directory, one.name.c_str(), thing, id);
    }
  }

  InodeId PackOne(int directory, const char* name, const Thing& thing, InodeId parent) {
    if (S_ISDIR(thing.facts.st_mode)) {
      const UniqueFd opened(OpenBeneath(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0));
      if (!opened.valid()) FailOfErrno("open", name, errno);
      return PackDirectoryOf(opened.get(), thing, parent);
    }
    if (thing.facts.st_nlink == 1) return PackLeaf(directory, name, thing);
    const auto known = links_.find(thing.facts.st_ino);
    if (known != links_.end()) return known->second;
    const InodeId id = PackLeaf(directory, name, thing);
    links_.emplace(thing.facts.st_ino, id);
    return id;
  }

  InodeId PackLeaf(int directory, const char* name, const Thing& thing) {
    if (S_ISREG(thing.facts.st_mode)) return PackFile(directory, name, thing);
    if (S_ISLNK(thing.facts.st_mode)) return PackLink(directory, name, thing);
    Inode inode = InodeOf(thing);
    inode.size = 0;
    if (S_ISCHR(thing.facts.st_mode) || S_ISBLK(thing.facts.st_mode)) {
      inode.where = erofs::EncodeDevice(gnu_dev_major(thing.facts.st_rdev), gnu_dev_minor(thing.facts.st_rdev));
    }
    const InodeId id = image_.Place(sizeof inode + thing.attributes.size());
    WriteInode(id, inode, thing, {});
    return id;
  }

  InodeId PackLink(int directory, const char* name, const Thing& thing) {
    std::string target(static_cast<size_t>(thing.facts.st_size) + 1, '\0');
    const ssize_t got = ::readlinkat(directory, name, target.data(), target.size());
    if (got < 0) FailOfErrno("readlink", name, errno);
    target.resize(static_cast<size_t>(got));
    Inode inode = InodeOf(thing);
    inode.size = target.size();
    const uint64_t before = sizeof inode + thing.attributes.size();
    const bool has_tail = before + target.size() <= kBlock;
    const InodeId id = image_.Place(before + (has_tail ? target.size() : 0));
    WriteContent(id, inode, thing, target, has_tail);
    return id;
  }

  /** Content that is in memory: whole blocks, and the rest where it has its place. */
  void WriteContent(InodeId id, Inode& inode, const Thing& thing, std::string_view content, bool has_tail) {
    const uint64_t in_blocks = has_tail ? content.size() / kBlock * kBlock : content.size();
    inode.where = image_.NextBlock();
    if (in_blocks > 0) image_.Append(content.substr(0, in_blocks));
    if (has_tail) inode.format = erofs::FormatOf(Layout::kInline);
    WriteInode(id, inode, thing, content.substr(in_blocks));
  }

  InodeId PackFile(int directory, const char* name, const Thing& thing) {
    const auto size = static_cast<uint64_t>(thing.facts.st_size);
    const UniqueFd file(OpenBeneath(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0));
    if (!file.valid()) FailOfErrno("open", name, errno);
    const auto on_disk = static_cast<uint64_t>(thing.facts.st_blocks) * 512;
    if (size > kBlock && on_disk + kBlock <= size) return PackSparse(file.get(), thing, size);
    Inode inode = InodeOf(thing);
    const uint64_t before = sizeof inode + thing.attributes.size();
    const uint64_t rest = size % kBlock;
    const bool has_tail = rest > 0 && rest <= kMaxTail && before + rest <= kBlock;
    const InodeId id = image_.Place(before + (has_tail ? rest : 0));
    inode.where = image_.NextBlock();
    image_.AppendFrom(file.get(), 0, has_tail ? size - rest : size);
    if (has_tail) inode.format = erofs::FormatOf(Layout::kInline);
    WriteInode(id, inode, thing, has_tail ? ReadTail(file.get(), size - rest, rest) : std::string());
    return id;
  }

  static std::string ReadTail(int fd, uint64_t at, uint64_t bytes) {
    std::string tail(bytes, '\0');
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(fd, tail.data() + done, bytes - done, static_cast<off_t>(at + done));
      if (got < 0) FailOfErrno("read", "a file of the layer", errno);
      if (got == 0) Fail(ErrorCode::kInternal, "a file of the layer is shorter than it was");
      done += static_cast<uint64_t>(got);
    }
    return tail;
  }

  InodeId PackSparse(int fd, const Thing& thing, uint64_t size) {
    uint32_t bits = 0;
    while (bits < erofs::kMaxChunkBits && size > kMaxChunks * (kBlock << bits)) ++bits;
    const uint64_t chunk = kBlock << bits;
    const std::vector<uint32_t> chunks = AppendChunks(fd, size, chunk);
    Inode inode = InodeOf(thing);
    inode.format = erofs::FormatOf(Layout::kChunks);
    inode.where = bits;
    const std::string_view map(reinterpret_cast<const char*>(chunks.data()), chunks.size() * sizeof(uint32_t));
    const InodeId id = image_.Place(sizeof inode + thing.attributes.size() + map.size());
    WriteInode(id, inode, thing, map);
    return id;
  }

  /** The first block of each chunk that has data; of a chunk with data all is written. */
  std::vector<uint32_t> AppendChunks(int fd, uint64_t size, uint64_t chunk) {
    std::vector<uint32_t> chunks((size + chunk - 1) / chunk, erofs::kHole);
    uint64_t at = 0;
    while (at < size) {
      const off_t found = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
      if (found < 0 && errno == ENXIO) break;
      if (found < 0) FailOfErrno("seek", "a file of the layer", errno);
      const uint64_t first = static_cast<uint64_t>(found) / chunk * chunk;
      const uint64_t bytes = std::min(chunk, size - first);
      if (chunk > kBlock && (padding_ += chunk) > kMaxPadding) {
        Fail(ErrorCode::kInternal, "a sparse file of the layer would take too much of the disk in an EROFS image");
      }
      chunks[first / chunk] = image_.NextBlock();
      image_.AppendFrom(fd, first, bytes);
      at = first + chunk;
    }
    return chunks;
  }

  /** With "." and "..", sorted. The stream has a descriptor of its own. */
  static std::vector<PackedName> NamesIn(int directory) {
    std::vector<PackedName> names;
    const int copy = OpenBeneath(directory, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR* stream = copy < 0 ? nullptr : ::fdopendir(copy);
    if (stream == nullptr) FailOfErrno("open", "a directory of the layer", errno);
    errno = 0;
    while (const struct dirent* found = ::readdir(stream)) names.push_back({found->d_name, 0, 0});
    if (errno != 0) FailOfErrno("list", "a directory of the layer", errno);
    ::closedir(stream);
    SortNames(names);
    return names;
  }

  Image image_;
  /** Of files with more names than one, by their number in the tree. */
  std::map<ino_t, InodeId> links_;
  uint64_t padding_ = 0;
  /** Of directories that are open. */
  uint32_t depth_ = 0;
};

}  // namespace

void Pack(int around, int tree, const std::array<uint8_t, 16>& uuid) { Packer(around).Run(tree, uuid); }

}  // namespace a3s
