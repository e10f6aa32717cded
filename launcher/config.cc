#include "config.h"

#include <unistd.h>

#include <charconv>
#include <functional>
#include <map>
#include <string_view>

#include "failure.h"

namespace a3s {

namespace {

constexpr size_t kMaxConfigBytes = 64 * 1024;
constexpr size_t kMaxCmdlineBytes = 2047;  // the x86 kernel cuts a longer one
constexpr size_t kMaxTagBytes = 35;        // virtio-fs: 36 with the NUL
constexpr uint64_t kFirstDescriptor = 3;   // after the standard ones
constexpr uint64_t kLastDescriptor = 1023;
constexpr size_t kMaxInterfaceBytes = 15;  // IFNAMSIZ with the NUL

[[noreturn]] void Refuse(const std::string& what) { Die(ExitCode::kConfig, "config", what); }

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t length = ::read(fd, buffer, sizeof buffer);
    if (length < 0) DieOfErrno(ExitCode::kConfig, "config", "read");
    if (length == 0) return text;
    text.append(buffer, static_cast<size_t>(length));
    if (text.size() > kMaxConfigBytes) Refuse("longer than 64 KiB");
  }
}

using Values = std::map<std::string, std::string, std::less<>>;

Values Split(std::string_view text) {
  Values values;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) Refuse("a line without '=': \"" + std::string(line.substr(0, 80)) + "\"");
    if (line.find('\0') != std::string_view::npos) Refuse("a NUL byte");
    const std::string key(line.substr(0, equals));
    if (!values.emplace(key, line.substr(equals + 1)).second) Refuse(key + " is there twice");
  }
  return values;
}

std::optional<std::string> TakeOptional(Values& values, const char* key) {
  const auto found = values.find(key);
  if (found == values.end()) return std::nullopt;
  std::string value = std::move(found->second);
  values.erase(found);
  if (value.empty()) Refuse(std::string(key) + " is empty");
  return value;
}

std::string Take(Values& values, const char* key) {
  std::optional<std::string> value = TakeOptional(values, key);
  if (!value) Refuse(std::string(key) + " is missing");
  return *value;
}

std::string TakePath(Values& values, const char* key) {
  std::string path = Take(values, key);
  if (path.front() != '/') Refuse(std::string(key) + " is no absolute path: " + path);
  return path;
}

uint64_t Number(const char* key, std::string_view text, uint64_t low, uint64_t high) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    std::string what = key;
    what += " is \"" + std::string(text) + "\", allowed is " + std::to_string(low) + " to " + std::to_string(high);
    Refuse(what);
  }
  return number;
}

int Descriptor(const char* key, const std::string& text) {
  return static_cast<int>(Number(key, text, kFirstDescriptor, kLastDescriptor));
}

int TakeDescriptor(Values& values, const char* key) { return Descriptor(key, Take(values, key)); }

void ParseMac(const std::string& text, uint8_t (&mac)[6]) {
  if (text.size() != 17) Refuse("mac is \"" + text + "\", allowed is XX:XX:XX:XX:XX:XX");
  for (size_t i = 0; i < 6; i++) {
    const char* digits = text.data() + i * 3;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac[i], 16);
    if (error != std::errc() || end != digits + 2 || (i < 5 && digits[2] != ':')) Refuse("mac is \"" + text + "\"");
  }
}

std::optional<TapConfig> TakeTap(Values& values) {
  std::optional<std::string> name = TakeOptional(values, "tap");
  const std::optional<std::string> mac = TakeOptional(values, "mac");
  if (name.has_value() != mac.has_value()) Refuse("tap and mac go together");
  if (!name) return std::nullopt;
  if (name->size() > kMaxInterfaceBytes) Refuse("tap is longer than 15 bytes: " + *name);
  TapConfig tap;
  tap.name = std::move(*name);
  ParseMac(*mac, tap.mac);
  return tap;
}

}  // namespace

Config ReadConfig(int fd) {
  Values values = Split(ReadAll(fd));
  Config config;
  config.libkrun = TakePath(values, "libkrun");
  config.kernel = TakePath(values, "kernel");
  config.cmdline = Take(values, "cmdline");
  if (config.cmdline.size() > kMaxCmdlineBytes) Refuse("cmdline is longer than 2047 bytes");
  config.vcpus = static_cast<uint8_t>(Number("vcpus", Take(values, "vcpus"), 1, 255));
  config.memory_mib = static_cast<uint32_t>(Number("memory_mib", Take(values, "memory_mib"), 64, UINT32_MAX));
  config.share = TakeDescriptor(values, "share");
  config.base = TakeDescriptor(values, "base");
  config.tag = Take(values, "tag");
  if (config.tag.size() > kMaxTagBytes) Refuse("tag is longer than 35 bytes");
  config.console = TakePath(values, "console");
  config.socket_directory = TakePath(values, "socket_directory");
  config.tap = TakeTap(values);
  if (const auto level = TakeOptional(values, "log_level")) {
    config.log_level = static_cast<uint32_t>(Number("log_level", *level, 0, 5));
  }
  if (const auto fd = TakeOptional(values, "userns")) {
    config.user_namespace = Descriptor("userns", *fd);
  }
  if (const auto files = TakeOptional(values, "nofile")) config.open_files = Number("nofile", *files, 256, UINT32_MAX);
  if (!values.empty()) Refuse("unknown key " + values.begin()->first);
  return config;
}

}  // namespace a3s
