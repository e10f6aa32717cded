#include "disk_budget.h"

#include <string>

#include "failure.h"
#include "limits.h"

namespace a3s {

namespace {

uint64_t Blocks(uint64_t bytes) {
  const uint64_t blocks = bytes / Limits::kDiskBlock + (bytes % Limits::kDiskBlock == 0 ? 0 : 1);
  return blocks * Limits::kDiskBlock;
}

}  // namespace

DiskBudget::DiskBudget(uint64_t packed_bytes) : packed_bytes_(packed_bytes), allowed_(Limits::BytesFor(packed_bytes)) {}

void DiskBudget::Name(std::string_view name) { Take(Limits::kNameBytes + name.size()); }

void DiskBudget::Inode() { Take(Limits::kInodeBytes); }

void DiskBudget::Directory() {
  Inode();
  Take(Limits::kDiskBlock);
}

void DiskBudget::Link(std::string_view target) {
  Inode();
  if (target.size() >= Limits::kInlineBytes) Take(Limits::kDiskBlock);
}

void DiskBudget::Content(uint64_t bytes) { Take(bytes); }

void DiskBudget::EndOfContent(uint64_t bytes) { Take(Blocks(bytes) - bytes); }

/** Each begins in a block of its own. */
void DiskBudget::Stretches(const TarEntry& entry) {
  for (const auto& [offset, bytes] : entry.sparse) {
    const uint64_t before = offset % Limits::kDiskBlock;
    Take(Blocks(bytes == 0 ? 0 : before + bytes));
  }
}

/** A few bytes of them lie in the inode itself, as file capabilities do. */
void DiskBudget::Attributes(const TarEntry& entry) {
  uint64_t bytes = 0;
  for (const auto& [name, value] : entry.xattrs) bytes += name.size() + value.size();
  if (bytes > Limits::kInlineBytes) Take(Blocks(bytes));
}

void DiskBudget::Take(uint64_t bytes) {
  taken_ += bytes;
  if (taken_ <= allowed_) return;
  Fail(ErrorCode::kInternal, "with it the layer unpacks to more than the " + std::to_string(allowed_) +
                                 " bytes that a blob of " + std::to_string(packed_bytes_) +
                                 " bytes may become, counted as the disk does: files, directories and names");
}

}  // namespace a3s
