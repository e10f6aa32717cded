#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace a3s {

struct Time {
  int64_t seconds = 0;
  /** 0 to 999999999. */
  uint32_t nanoseconds = 0;
};

/** A stretch of a sparse file that has data: offset and length in bytes. */
using SparseMap = std::vector<std::pair<uint64_t, uint64_t>>;

/** Records of one header, by key. Values are bytes: an extended attribute's is binary. */
struct PaxRecords {
  std::map<std::string, std::string, std::less<>> values;
  /** GNU.sparse.offset and GNU.sparse.numbytes, which come many times. */
  SparseMap sparse;

  /** Null when it is not there, or empty: an empty value takes a record back. */
  const std::string* Find(std::string_view key) const;
  std::optional<uint64_t> Number(std::string_view key) const;
  /** Seconds with a fraction ("1700000000.25", also negative). */
  std::optional<Time> TimeOf(std::string_view key) const;
  /** True for any key that begins so. */
  bool HasPrefix(std::string_view prefix) const;
};

/** "LENGTH KEY=VALUE\n", the length counting all of the record. Source: pax(5), "pax Header Block". */
PaxRecords ParsePax(std::string_view bytes);

/** A decimal number that fits; nothing else. */
std::optional<uint64_t> ParseDecimal(std::string_view digits);

}  // namespace a3s
