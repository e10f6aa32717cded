#include "tar_header.h"

#include <algorithm>
#include <cstring>

#include "failure.h"

namespace a3s {

namespace {

/** What the daemon's other half could always count with, and more than any field holds. */
constexpr int64_t kLargest = (int64_t{1} << 53) - 1;

int64_t ParseSigned(const uint8_t* field, size_t length, const char* what) {
  const auto is_not = [what](const char* why) { MalformedTar(std::string("a header's ") + what + " is " + why); };
  int64_t value = 0;
  if (field[0] >= 0x80) {
    const bool negative = field[0] == 0xff;
    for (size_t i = 0; i < length; i++) {
      const int64_t byte = i == 0 ? (negative ? 0 : field[0] & 0x7f) : (negative ? 255 - field[i] : field[i]);
      if (value > (kLargest - byte) / 256) is_not("out of range");
      value = value * 256 + byte;
    }
    return negative ? -value - 1 : value;
  }
  const auto* text = reinterpret_cast<const char*>(field);
  std::string_view digits = UntilNul({text, length});
  const size_t begin = digits.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return 0;
  digits = digits.substr(begin, digits.find_last_not_of(" \t") + 1 - begin);
  for (const char digit : digits) {
    if (digit < '0' || digit > '7') is_not("not a number");
    if (value > kLargest / 8) is_not("out of range");
    value = value * 8 + (digit - '0');
  }
  return value;
}

std::string_view Text(const uint8_t* block, size_t at, size_t length) {
  return UntilNul({reinterpret_cast<const char*>(block) + at, length});
}

/** The sum counts its own field as blanks; old writers summed signed bytes. */
void CheckSum(const uint8_t* block) {
  int64_t bare = 8 * 0x20;
  int64_t high = 0;
  for (size_t i = 0; i < kBlockBytes; i++) {
    if (i >= 148 && i < 156) continue;
    bare += block[i];
    high += block[i] >> 7;
  }
  const int64_t stored = ParseSigned(block + 148, 8, "checksum");
  if (stored != bare && stored != bare - 256 * high) MalformedTar("a header's checksum is wrong");
}

std::string_view PrefixOf(const uint8_t* block) {
  if (memcmp(block + 257, "ustar", 6) != 0) return {};  // GNU's magic has a blank where this has its NUL
  return Text(block, 345, memcmp(block + 508, "tar", 4) == 0 ? 131 : 155);  // star keeps times in the rest of it
}

}  // namespace

void MalformedTar(const std::string& why) { Fail(ErrorCode::kInternal, "the archive is not a tar: " + why); }

std::string_view UntilNul(std::string_view text) { return text.substr(0, text.find('\0')); }

uint64_t ParseNumber(const uint8_t* field, size_t length, const char* what) {
  const int64_t value = ParseSigned(field, length, what);
  if (value < 0) MalformedTar(std::string("a header's ") + what + " is negative");
  return static_cast<uint64_t>(value);
}

bool ParseHeader(const uint8_t* block, RawHeader& header) {
  if (std::all_of(block, block + kBlockBytes, [](uint8_t byte) { return byte == 0; })) return false;
  CheckSum(block);
  header.flag = static_cast<char>(block[156]);
  header.name = PrefixOf(block);
  if (!header.name.empty()) header.name += '/';
  header.name += Text(block, 0, 100);
  header.link = Text(block, 157, 100);
  header.mode = static_cast<uint32_t>(ParseNumber(block + 100, 8, "mode") & 07777);
  header.uid = ParseNumber(block + 108, 8, "uid");
  header.gid = ParseNumber(block + 116, 8, "gid");
  header.size = ParseNumber(block + 124, 12, "size");
  header.mtime_seconds = ParseSigned(block + 136, 12, "mtime");
  header.major = ParseNumber(block + 329, 8, "major number");
  header.minor = ParseNumber(block + 337, 8, "minor number");
  return true;
}

}  // namespace a3s
