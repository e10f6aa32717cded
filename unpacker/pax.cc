#include "pax.h"

#include <charconv>

#include "limits.h"
#include "tar_header.h"

namespace a3s {

namespace {

[[noreturn]] void NotA(std::string_view key, const char* what) {
  MalformedTar("the PAX record " + std::string(key) + " is not a " + what);
}

void TakeSparse(PaxRecords& records, const std::string& key, std::string_view value) {
  const std::optional<uint64_t> number = ParseDecimal(value);
  if (!number) NotA(key, "number");
  if (records.sparse.size() >= Limits::kSparseParts) MalformedTar("a sparse file has too many parts");
  if (key == "GNU.sparse.offset") {
    records.sparse.emplace_back(*number, 0);
    return;
  }
  if (records.sparse.empty()) MalformedTar("a sparse file's map begins with a length");
  records.sparse.back().second = *number;
}

void TakeRecord(PaxRecords& records, std::string_view record) {
  const size_t equals = record.find('=');
  if (equals == std::string_view::npos) MalformedTar("a PAX record has no value");
  std::string key(record.substr(0, equals));
  const std::string_view value = record.substr(equals + 1);
  if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") TakeSparse(records, key, value);
  records.values.insert_or_assign(std::move(key), std::string(value));
}

}  // namespace

std::optional<uint64_t> ParseDecimal(std::string_view digits) {
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, value);
  if (digits.empty() || error != std::errc() || stopped != end || value >> 63 != 0) return std::nullopt;
  return value;
}

PaxRecords ParsePax(std::string_view bytes) {
  PaxRecords records;
  while (!bytes.empty() && bytes.front() != '\0') {  // padding that some writers count in
    const size_t space = bytes.substr(0, 12).find(' ');
    if (space == std::string_view::npos) MalformedTar("a PAX record has no length");
    const std::optional<uint64_t> length = ParseDecimal(bytes.substr(0, space));
    if (!length || *length <= space + 2 || *length > bytes.size() || bytes[*length - 1] != '\n') {
      MalformedTar("a PAX record has a wrong length");
    }
    TakeRecord(records, bytes.substr(space + 1, *length - space - 2));
    bytes.remove_prefix(*length);
  }
  return records;
}

const std::string* PaxRecords::Find(std::string_view key) const {
  const auto found = values.find(key);
  return found == values.end() || found->second.empty() ? nullptr : &found->second;
}

std::optional<uint64_t> PaxRecords::Number(std::string_view key) const {
  const std::string* text = Find(key);
  if (text == nullptr) return std::nullopt;
  const std::optional<uint64_t> number = ParseDecimal(*text);
  if (!number) NotA(key, "number");
  return number;
}

std::optional<Time> PaxRecords::TimeOf(std::string_view key) const {
  const std::string* text = Find(key);
  if (text == nullptr) return std::nullopt;
  std::string_view rest = *text;
  const bool negative = rest.front() == '-';
  if (negative) rest.remove_prefix(1);
  const size_t point = rest.find('.');
  const std::optional<uint64_t> seconds = ParseDecimal(rest.substr(0, point));
  if (!seconds || *seconds > 999'999'999'999) NotA(key, "time");
  uint32_t nanoseconds = 0;
  const std::string_view fraction = point == std::string_view::npos ? "" : rest.substr(point + 1);
  for (size_t i = 0; i < 9; i++) nanoseconds = nanoseconds * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
  if (fraction.find_first_not_of("0123456789") != std::string_view::npos) NotA(key, "time");
  const auto whole = static_cast<int64_t>(*seconds);
  if (!negative) return Time{whole, nanoseconds};
  if (nanoseconds == 0) return Time{-whole, 0};
  return Time{-whole - 1, 1'000'000'000 - nanoseconds};
}

bool PaxRecords::HasPrefix(std::string_view prefix) const {
  const auto found = values.lower_bound(prefix);
  return found != values.end() && std::string_view(found->first).substr(0, prefix.size()) == prefix;
}

}  // namespace a3s
