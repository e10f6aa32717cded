#include "erofs_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "failure.h"
#include "open_beneath.h"

namespace a3s::erofs {

namespace {

constexpr char kName[] = "layer.erofs";
constexpr char kInodesName[] = "inodes";
constexpr size_t kBufferBytes = size_t{1} << 20;

UniqueFd Make(int around, const char* name) {
  UniqueFd file(OpenBeneath(around, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (!file.valid()) FailOfErrno("open", name, errno);
  return file;
}

void WriteAll(int fd, const char* bytes, size_t size, uint64_t at) {
  for (size_t done = 0; done < size;) {
    const ssize_t written = ::pwrite(fd, bytes + done, size - done, static_cast<off_t>(at + done));
    if (written < 0) FailOfErrno("write", kName, errno);
    done += static_cast<size_t>(written);
  }
}

}  // namespace

Image::Image(int around) : file_(Make(around, kName)), inode_file_(Make(around, kInodesName)) {
  if (::unlinkat(around, kInodesName, 0) != 0) FailOfErrno("unlink", kInodesName, errno);
}

InodeId Image::Place(uint64_t bytes) {
  uint64_t at = RoundUp(inodes_end_, kSlot);
  const uint64_t left = kBlock - at % kBlock;
  if (bytes > left) at = RoundUp(at, kBlock);
  inodes_end_ = at + bytes;
  return at / kSlot;
}

void Image::Write(InodeId id, std::string_view bytes) {
  WriteAll(inode_file_.get(), bytes.data(), bytes.size(), id * kSlot);
}

uint32_t Image::NextBlock() const { return static_cast<uint32_t>(content_end_ / kBlock); }

void Image::TakeBlocks(uint64_t bytes) {
  content_end_ = RoundUp(content_end_ + bytes, kBlock);
  if (content_end_ / kBlock >= kHole) Fail(ErrorCode::kInternal, "the layer is larger than an EROFS image can be");
}

/** The kernel copies, and where the file system can it shares the blocks. */
void Image::AppendFrom(int fd, uint64_t at, uint64_t bytes) {
  uint64_t done = 0;
  while (done < bytes) {
    off64_t from = static_cast<off64_t>(at + done);
    off64_t to = static_cast<off64_t>(content_end_ + done);
    const ssize_t copied = ::copy_file_range(fd, &from, file_.get(), &to, bytes - done, 0);
    if (copied <= 0) break;  // another file system, or an end that comes too early: read and write say which
    done += static_cast<uint64_t>(copied);
  }
  CopySlowly(fd, at + done, bytes - done, content_end_ + done);
  TakeBlocks(bytes);
}

void Image::CopySlowly(int fd, uint64_t at, uint64_t bytes, uint64_t to) {
  if (bytes == 0) return;
  std::vector<char> buffer(std::min<uint64_t>(bytes, kBufferBytes));
  for (uint64_t done = 0; done < bytes;) {
    const size_t wanted = std::min<uint64_t>(bytes - done, buffer.size());
    const ssize_t got = ::pread(fd, buffer.data(), wanted, static_cast<off_t>(at + done));
    if (got < 0) FailOfErrno("read", "a file of the layer", errno);
    if (got == 0) Fail(ErrorCode::kInternal, "a file of the layer is shorter than it was");
    WriteAll(file_.get(), buffer.data(), static_cast<size_t>(got), to + done);
    done += static_cast<uint64_t>(got);
  }
}

void Image::Append(std::string_view bytes) {
  WriteAll(file_.get(), bytes.data(), bytes.size(), content_end_);
  TakeBlocks(bytes.size());
}

void Image::Finish(InodeId root, const std::array<uint8_t, 16>& uuid) {
  const uint32_t inodes_at = NextBlock();
  AppendFrom(inode_file_.get(), 0, inodes_end_);
  if (::ftruncate(file_.get(), static_cast<off_t>(content_end_)) != 0) FailOfErrno("truncate", kName, errno);
  Superblock superblock = {};
  superblock.magic = kMagic;
  superblock.compatible = kHasMtime;
  superblock.incompatible = kHasChunks;
  superblock.block_bits = kBlockBits;
  superblock.root = static_cast<uint16_t>(root);
  superblock.inodes = inodes_;
  superblock.blocks = NextBlock();
  superblock.inodes_at = inodes_at;
  std::copy(uuid.begin(), uuid.end(), superblock.uuid);
  char bytes[sizeof superblock];
  std::memcpy(bytes, &superblock, sizeof superblock);
  WriteAll(file_.get(), bytes, sizeof bytes, kSuperblockAt);
}

}  // namespace a3s::erofs
