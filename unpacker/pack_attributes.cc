#include "pack_attributes.h"

#include <sys/xattr.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "attributes.h"
#include "erofs_format.h"
#include "failure.h"

namespace a3s {

namespace {

struct Prefix {
  std::string_view text;
  uint8_t number;
};

/** An ACL's name is nothing but its prefix [EROFS_XATTR_INDEX_*]. */
constexpr Prefix kPrefixes[] = {
    {"user.", 1}, {"system.posix_acl_access", 2}, {"system.posix_acl_default", 3}, {"trusted.", 4}, {"security.", 6},
};
constexpr uint8_t kUser = 1;

/** The one attribute of overlayfs that a layer has: `trusted.` on the host, `user.` for an overlay with "userxattr". */
constexpr std::string_view kOpaque = "trusted.overlay.opaque";

/** What fits into an inode's count of attributes. */
constexpr size_t kMaxBytes = sizeof(erofs::AttributesHeader) + (UINT16_MAX - 1) * erofs::kAttributeUnit;

void Append(std::string& packed, uint8_t prefix, std::string_view rest, std::string_view value, const char* name) {
  if (rest.size() > UINT8_MAX || value.size() > UINT16_MAX) {
    Fail(ErrorCode::kInternal, "an attribute of " + Shown(name) + " is larger than EROFS has it");
  }
  const erofs::AttributeHeader header = {static_cast<uint8_t>(rest.size()), prefix,
                                         static_cast<uint16_t>(value.size())};
  packed.append(reinterpret_cast<const char*>(&header), sizeof header);
  packed.append(rest).append(value);
  packed.resize(erofs::RoundUp(packed.size(), erofs::kAttributeUnit));
}

void AppendOne(std::string& packed, std::string_view attribute, std::string_view value, const char* name) {
  if (attribute == kOpaque) return Append(packed, kUser, "overlay.opaque", value, name);
  if (IsOverlays(attribute)) return;
  for (const Prefix& prefix : kPrefixes) {
    if (attribute.rfind(prefix.text, 0) != 0) continue;
    return Append(packed, prefix.number, attribute.substr(prefix.text.size()), value, name);
  }
}

}  // namespace

std::string PackAttributes(const char* name) {
  const std::string names =
      ReadAttributes(name, [name](char* buffer, size_t size) { return ::llistxattr(name, buffer, size); });
  std::string packed;
  for (size_t at = 0; at < names.size();) {
    const std::string attribute = names.c_str() + at;
    at += attribute.size() + 1;
    const std::string value = ReadAttributes(name, [name, &attribute](char* buffer, size_t size) {
      return ::lgetxattr(name, attribute.c_str(), buffer, size);
    });
    if (packed.empty()) packed.resize(sizeof(erofs::AttributesHeader));
    AppendOne(packed, attribute, value, name);
  }
  if (packed.size() == sizeof(erofs::AttributesHeader)) packed.clear();
  if (packed.size() > kMaxBytes) Fail(ErrorCode::kInternal, "the attributes of " + Shown(name) + " are too many");
  return packed;
}

}  // namespace a3s
