#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace a3s {

/** A name in a directory, and what it leads to. */
struct PackedName {
  std::string name;
  uint64_t inode = 0;
  /** As in a directory entry of EROFS [EROFS_FT_*], which are readdir's of the kernel. */
  uint8_t type = 0;
};

/** In the order in which the kernel looks for them. */
void SortNames(std::vector<PackedName>& names);

/** Of the directory with these sorted names, in bytes. */
uint64_t DirectorySize(const std::vector<PackedName>& names);

/** Its content: entries and names, block by block. */
std::string PackDirectory(const std::vector<PackedName>& names);

}  // namespace a3s
