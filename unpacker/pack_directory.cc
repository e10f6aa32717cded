#include "pack_directory.h"

#include <algorithm>

#include "erofs_format.h"

namespace a3s {

namespace {

uint64_t BytesOf(const PackedName& one) { return sizeof(erofs::DirectoryEntry) + one.name.size(); }

/** Where the block that begins with `first` ends: a name lies in one block with its entry. */
size_t EndOfBlock(const std::vector<PackedName>& names, size_t first, uint64_t& used) {
  size_t end = first;
  for (used = 0; end < names.size() && used + BytesOf(names[end]) <= erofs::kBlock; ++end) used += BytesOf(names[end]);
  return end;
}

}  // namespace

void SortNames(std::vector<PackedName>& names) {
  const auto before = [](const PackedName& one, const PackedName& other) { return one.name < other.name; };
  std::sort(names.begin(), names.end(), before);  // char_traits<char> compares bytes as unsigned
}

uint64_t DirectorySize(const std::vector<PackedName>& names) {
  uint64_t size = 0;
  for (size_t at = 0; at < names.size();) {
    uint64_t used;
    at = EndOfBlock(names, at, used);
    size += at < names.size() ? erofs::kBlock : used;
  }
  return size;
}

std::string PackDirectory(const std::vector<PackedName>& names) {
  std::string packed;
  for (size_t first = 0; first < names.size();) {
    uint64_t used;
    const size_t end = EndOfBlock(names, first, used);
    uint64_t name_at = (end - first) * sizeof(erofs::DirectoryEntry);
    for (size_t at = first; at < end; ++at) {
      const PackedName& one = names[at];
      const erofs::DirectoryEntry entry = {one.inode, static_cast<uint16_t>(name_at), one.type, 0};
      packed.append(reinterpret_cast<const char*>(&entry), sizeof entry);
      name_at += one.name.size();
    }
    for (size_t at = first; at < end; ++at) packed.append(names[at].name);
    if (end < names.size()) packed.resize(erofs::RoundUp(packed.size(), erofs::kBlock));
    first = end;
  }
  return packed;
}

}  // namespace a3s
