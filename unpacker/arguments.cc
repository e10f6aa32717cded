#include "arguments.h"

#include <charconv>
#include <string_view>

#include "failure.h"

namespace a3s {

namespace {

[[noreturn]] void Refuse() {
  Die(ExitCode::kUsage,
      "use: a3s-box-unpacker unpack DIRECTORY none|gzip|zstd BYTES DIFFID [ROOTID] | probe DIRECTORY ROOTID | "
      "settle DIRECTORY LOWER... | pack DIRECTORY TREE UUID");
}

Compression ReadCompression(std::string_view word) {
  if (word == "none") return Compression::kNone;
  if (word == "gzip") return Compression::kGzip;
  if (word == "zstd") return Compression::kZstd;
  Refuse();
}

uint64_t ReadNumber(std::string_view word) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) Refuse();
  return number;
}

uint32_t ReadId(std::string_view word) {
  const uint64_t id = ReadNumber(word);
  if (id == 0 || id > UINT32_MAX) Refuse();
  return static_cast<uint32_t>(id);
}

/** 32 hex digits. */
std::array<uint8_t, 16> ReadUuid(std::string_view word) {
  std::array<uint8_t, 16> uuid;
  if (word.size() != 2 * uuid.size()) Refuse();
  for (size_t at = 0; at < uuid.size(); ++at) {
    const char* digits = word.data() + 2 * at;
    const auto [end, error] = std::from_chars(digits, digits + 2, uuid[at], 16);
    if (error != std::errc() || end != digits + 2) Refuse();
  }
  return uuid;
}

}  // namespace

UnpackArguments ReadUnpackArguments(int argc, char** argv) {
  if (argc != 6 && argc != 7) Refuse();
  const uint32_t root_id = argc == 7 ? ReadId(argv[6]) : 0;
  return {argv[2], ReadCompression(argv[3]), ReadNumber(argv[4]), argv[5], root_id};
}

ProbeArguments ReadProbeArguments(int argc, char** argv) {
  if (argc != 4) Refuse();
  return {argv[2], ReadId(argv[3])};
}

PackArguments ReadPackArguments(int argc, char** argv) {
  if (argc != 5) Refuse();
  return {argv[2], argv[3], ReadUuid(argv[4])};
}

SettleArguments ReadSettleArguments(int argc, char** argv) {
  if (argc < 4) Refuse();
  return {argv[2], std::vector<std::string>(argv + 3, argv + argc)};
}

}  // namespace a3s
