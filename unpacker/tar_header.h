#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace a3s {

constexpr size_t kBlockBytes = 512;

/** Fields of a header block as they stand there, before PAX records and long names are applied. */
struct RawHeader {
  char flag = '0';
  std::string name;
  std::string link;
  uint32_t mode = 0;
  uint64_t uid = 0;
  uint64_t gid = 0;
  uint64_t size = 0;
  int64_t mtime_seconds = 0;
  uint64_t major = 0;
  uint64_t minor = 0;
};

/**
 * Source: pax(5) "ustar interchange format"; GNU tar manual, "Basic Tar Format". False for a block of zeros: the end
 * of the archive. A block that is no header ends the process.
 */
bool ParseHeader(const uint8_t* block, RawHeader& header);

/** Octal digits, or big-endian binary when the first bit is set (GNU base-256; 0xff begins a negative number). */
uint64_t ParseNumber(const uint8_t* field, size_t length, const char* what);

/** Up to the first NUL. */
std::string_view UntilNul(std::string_view text);

[[noreturn]] void MalformedTar(const std::string& why);

}  // namespace a3s
