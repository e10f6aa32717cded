#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tar_reader.h"

namespace a3s {

/**
 * What the tree takes on the disk, counted as it is made and compared with what its blob may become: a byte of content
 * takes a block, a name without content an inode. Nothing is given back for what a later entry replaces.
 */
class DiskBudget {
 public:
  explicit DiskBudget(uint64_t packed_bytes);

  /** A name in a directory, which each entry is; an inode comes on top but for hard links. */
  void Name(std::string_view name);
  void Inode();
  void Directory();
  void Link(std::string_view target);
  /** Content, as it is written: what an entry announces may never come. */
  void Content(uint64_t bytes);
  /** The rest of the last block of content of that length. */
  void EndOfContent(uint64_t bytes);
  /** All of a sparse file's. */
  void Stretches(const TarEntry& entry);
  void Attributes(const TarEntry& entry);

 private:
  void Take(uint64_t bytes);

  const uint64_t packed_bytes_;
  const uint64_t allowed_;
  uint64_t taken_ = 0;
};

}  // namespace a3s
