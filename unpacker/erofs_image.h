#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "../addon/unique_fd.h"
#include "erofs_format.h"

namespace a3s::erofs {

/** Number of an inode. */
using InodeId = uint64_t;

/**
 * An EROFS image that is being written: what files have in them as it comes, and the inodes behind it all. It knows
 * nothing of trees. What fails ends the process.
 */
class Image {
 public:
  /** Makes `layer.erofs` and, until the end, `inodes` in the directory. */
  explicit Image(int around);

  /** A place for an inode with all that is behind it; within one block where it fits into one. */
  InodeId Place(uint64_t bytes);
  void Write(InodeId id, std::string_view bytes);

  /** Where the next block of content will be. */
  uint32_t NextBlock() const;
  /** So many bytes of the file, from there on, in new blocks. */
  void AppendFrom(int fd, uint64_t at, uint64_t bytes);
  /** In new blocks. */
  void Append(std::string_view bytes);

  /** `root`: placed first. */
  void Finish(InodeId root, const std::array<uint8_t, 16>& uuid);

  uint32_t NextNumber() { return ++inodes_; }

 private:
  void TakeBlocks(uint64_t bytes);
  void CopySlowly(int fd, uint64_t at, uint64_t bytes, uint64_t to);

  const UniqueFd file_;
  const UniqueFd inode_file_;
  /** Content ends there, at a block's start. */
  uint64_t content_end_ = kBlock;
  /** In the file of inodes. A number fits into the super block only where that is small, and 0 is none. */
  uint64_t inodes_end_ = kSuperblockAt;
  uint32_t inodes_ = 0;
};

/** A number of the kernel's own for a device. Source: new_encode_dev() of include/linux/kdev_t.h. */
constexpr uint32_t EncodeDevice(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xffU) << 12);
}

}  // namespace a3s::erofs
