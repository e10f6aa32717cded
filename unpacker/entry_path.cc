#include "entry_path.h"

#include <algorithm>

#include "failure.h"
#include "limits.h"

namespace a3s {

namespace {

constexpr std::string_view kWhiteoutPrefix = ".wh.";

Parts Split(std::string_view path) {
  Parts parts;
  size_t bytes = 0;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    bytes += part.size() + 1;
    if (bytes > Limits::kPathBytes) Fail(ErrorCode::kInternal, "its name is longer than a path may be");
    if (parts.size() >= Limits::kDepth) {
      Fail(ErrorCode::kInternal, "it is deeper than " + std::to_string(Limits::kDepth) + " directories");
    }
    parts.emplace_back(part);
  }
  return parts;
}

bool LeadsUp(const Parts& parts) { return std::find(parts.begin(), parts.end(), "..") != parts.end(); }

}  // namespace

Parts EntryParts(std::string_view name) {
  Parts parts = Split(name);
  if (LeadsUp(parts)) Escapes("its name has \"..\"");
  return parts;
}

Parts LinkParts(std::string_view link) {
  Parts parts = Split(link);
  if (LeadsUp(parts)) Escapes("its hard link's target \"" + Shown(link) + "\" has \"..\"");
  if (parts.empty()) Escapes("its hard link has no target");
  return parts;
}

Whiteout WhiteoutOf(std::string_view name) {
  if (name.substr(0, kWhiteoutPrefix.size()) != kWhiteoutPrefix) return {};
  if (name == ".wh..wh..opq") return {Whiteout::Kind::kOpaque, {}};
  if (name.substr(0, 8) == ".wh..wh.") return {Whiteout::Kind::kIgnored, {}};
  const std::string_view hidden = name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") Escapes("it is a whiteout of nothing");
  return {Whiteout::Kind::kRemoved, std::string(hidden)};
}

void Escapes(const std::string& why) { Fail(ErrorCode::kInternal, "the layer leaves its root: " + why); }

}  // namespace a3s
