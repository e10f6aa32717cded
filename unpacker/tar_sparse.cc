// Sparse files. Source: GNU tar manual, "Storing Sparse Files": the old GNU format, and PAX formats 0.0, 0.1, 1.0.

#include <string_view>

#include "failure.h"
#include "limits.h"
#include "tar_reader.h"

namespace a3s {

namespace {

constexpr size_t kPartBytes = 24;

[[noreturn]] void WrongMap() { MalformedTar("a sparse file's map is wrong"); }

void Add(SparseMap& map, uint64_t offset, uint64_t length) {
  if (map.size() >= Limits::kSparseParts) MalformedTar("a sparse file has too many parts");
  map.emplace_back(offset, length);
}

/** Parts of an old GNU header, or of a block that continues it; an unused one ends the list. */
void AddParts(SparseMap& map, const uint8_t* parts, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const uint8_t* part = parts + kPartBytes * i;
    if (part[0] == 0 || part[12] == 0) return;
    Add(map, ParseNumber(part, 12, "sparse offset"), ParseNumber(part + 12, 12, "sparse length"));
  }
}

/** "offset,length,offset,length,…" */
void ParseList(std::string_view list, SparseMap& map) {
  while (!list.empty()) {
    uint64_t pair[2];
    for (uint64_t& number : pair) {
      const size_t comma = list.find(',');
      const std::optional<uint64_t> parsed = ParseDecimal(list.substr(0, comma));
      if (!parsed) WrongMap();
      number = *parsed;
      list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
    Add(map, pair[0], pair[1]);
  }
}

}  // namespace

bool IsSparseMap(const SparseMap& map, uint64_t content_bytes, uint64_t length) {
  uint64_t end = 0;
  uint64_t sum = 0;
  for (const auto& [offset, bytes] : map) {
    if (offset < end || offset > length || bytes > length - offset) return false;
    end = offset + bytes;
    sum += bytes;
  }
  return sum == content_bytes && length >> 62 == 0;
}

void TarReader::ReadSparse(const RawHeader& header, TarEntry& entry) {
  if (entry.type != EntryType::kFile) WrongMap();
  const PaxRecords records = std::move(records_);
  if (header.flag == 'S') {
    ReadGnuSparse(entry);
  } else if (const std::string* major = records.Find("GNU.sparse.major"); major != nullptr && *major != "0") {
    const std::string* minor = records.Find("GNU.sparse.minor");
    if (*major != "1" || minor == nullptr || *minor != "0") {
      Fail(ErrorCode::kUnimplemented, "it is a sparse file of an unknown format");
    }
    entry.sparse_length = records.Number("GNU.sparse.realsize");
    ReadSparseFromContent(entry);
  } else if (const std::string* list = records.Find("GNU.sparse.map"); list != nullptr) {
    entry.sparse_length = records.Number("GNU.sparse.size");
    ParseList(*list, entry.sparse);
  } else {
    entry.sparse_length = records.Number("GNU.sparse.size");
    entry.sparse = records.sparse;
  }
  if (!entry.sparse_length || !IsSparseMap(entry.sparse, remaining_, *entry.sparse_length)) WrongMap();
}

void TarReader::ReadGnuSparse(TarEntry& entry) {
  entry.sparse_length = ParseNumber(block_ + 483, 12, "real size");
  AddParts(entry.sparse, block_ + 386, 4);
  bool more = block_[482] != 0;
  while (more) {
    const uint8_t* block = NextBlock();
    if (block == nullptr) MalformedTar("it ends inside of a sparse file's map");
    AddParts(entry.sparse, block, 21);
    more = block[504] != 0;
  }
}

/** Format 1.0: decimal lines before the content, filled up to whole blocks. */
void TarReader::ReadSparseFromContent(TarEntry& entry) {
  std::string text;
  size_t at = 0;
  const auto number = [&]() -> uint64_t {
    size_t line_end;
    while ((line_end = text.find('\n', at)) == std::string::npos) {
      if (remaining_ < kBlockBytes || text.size() - at > kBlockBytes) WrongMap();
      const uint8_t* block = NextBlock();
      if (block == nullptr) MalformedTar("it ends inside of a sparse file's map");
      remaining_ -= kBlockBytes;
      text.erase(0, at);
      at = 0;
      text.append(reinterpret_cast<const char*>(block), kBlockBytes);
    }
    const std::optional<uint64_t> parsed = ParseDecimal(std::string_view(text).substr(at, line_end - at));
    if (!parsed) WrongMap();
    at = line_end + 1;
    return *parsed;
  };
  const uint64_t count = number();
  if (count > Limits::kSparseParts) MalformedTar("a sparse file has too many parts");
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t offset = number();
    Add(entry.sparse, offset, number());
  }
}

}  // namespace a3s
