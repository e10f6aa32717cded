#include "enter_options.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <charconv>
#include <string_view>

#include "failure.h"

namespace a3s {

namespace {

constexpr uint64_t kMostDescriptors = 1023;

[[noreturn]] void Refuse(const std::string& what) { Die(ExitCode::kUsage, "arguments", what); }

uint64_t Number(std::string_view key, std::string_view text, uint64_t most) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number <= most) return number;
  Refuse(std::string(key) + " is \"" + std::string(text) + "\"");
}

int Descriptor(std::string_view key, std::string_view text) {
  return static_cast<int>(Number(key, text, kMostDescriptors));
}

std::string AbsolutePath(std::string_view key, std::string_view text) {
  if (!text.starts_with('/')) Refuse(std::string(key) + " is no absolute path: " + std::string(text));
  return std::string(text);
}

View Seen(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) DieOfErrno(ExitCode::kJail, "jail", path);
  const auto kind = S_ISDIR(info.st_mode) ? View::Kind::kDirectory : View::Kind::kFile;
  return {path, path, kind, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
}

std::pair<std::string, std::string> PathAndText(std::string_view key, std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) Refuse(std::string(key) + " has no \":\"");
  return {AbsolutePath(key, text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

/** False for a key that is none of these. */
bool ReadInherited(std::string_view key, std::string_view value, EnterOptions& out) {
  using Kind = Inherited::Kind;
  if (key == "tap") {
    out.inherited.push_back({Kind::kTap, std::string(value)});
    return true;
  }
  const std::pair<std::string_view, Kind> kinds[] = {
      {"listen", Kind::kListen}, {"connect", Kind::kConnect}, {"append", Kind::kAppend}, {"write", Kind::kWrite}};
  for (const auto& [name, kind] : kinds) {
    if (key != name) continue;
    out.inherited.push_back({kind, AbsolutePath(key, value)});
    return true;
  }
  return false;
}

void ReadOption(std::string_view key, std::string_view value, EnterOptions& out) {
  if (ReadInherited(key, value, out)) return;
  if (key == "see") {
    out.jail.views.push_back(Seen(AbsolutePath(key, value)));
  } else if (key == "link") {
    out.jail.links.push_back(PathAndText(key, value));
  } else if (key == "share") {
    out.share = Descriptor(key, value);
  } else if (key == "base") {
    out.base = Descriptor(key, value);
  } else if (key == "file") {
    out.jail.files.push_back(PathAndText(key, value));
  } else if (key == "proc" && value == "fd") {
    out.jail.own_descriptors = true;
  } else if (key == "user") {
    out.user = static_cast<uid_t>(Number(key, value, UINT32_MAX - 1));
  } else if (key == "userns") {
    out.user_namespace = Descriptor(key, value);
  } else if (key == "keep") {
    out.capabilities |= uint64_t{1} << Number(key, value, 63);
  } else if (key == "processes") {
    out.processes = Number(key, value, UINT32_MAX);
  } else if (key == "open_files") {
    out.open_files = Number(key, value, UINT32_MAX);
  } else if (key == "calls" && value == "vmm") {
    out.vmm_calls = true;
  } else if (key == "refuse" && value == "syncfs") {
    out.no_syncfs = true;
  } else {
    Refuse("unknown option " + std::string(key) + "=" + std::string(value));
  }
}

}  // namespace

EnterOptions ReadEnterOptions(std::span<char*> arguments) {
  EnterOptions options;
  options.jail.no_network = true;
  size_t i = 0;
  for (; i < arguments.size() && std::string_view(arguments[i]) != "--"; i++) {
    const std::string_view text = arguments[i];
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) Refuse("no KEY=VALUE: " + std::string(text));
    ReadOption(text.substr(0, equals), text.substr(equals + 1), options);
  }
  if (arguments.size() < i + 3) Refuse("no program after \"--\"");
  if (options.share.has_value() != options.base.has_value()) Refuse("share and base go together");
  options.program = AbsolutePath("the program", arguments[i + 1]);
  options.argv.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i + 2), arguments.end());
  options.argv.push_back(nullptr);
  return options;
}

}  // namespace a3s
