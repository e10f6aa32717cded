#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "system_error.h"

namespace a3s {

/** Mount options every mount of ours can have. */
struct MountFlags {
  bool readonly = false;
  bool nosuid = false;
  bool nodev = false;
};

/** `count` ids of a user namespace from `inside` on are the host's from `outside` on: a line of /proc/PID/uid_map. */
struct IdExtent {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;
};

/** At least one extent each; the kernel takes 340. */
struct IdMap {
  std::vector<IdExtent> uids;
  std::vector<IdExtent> gids;
};

/** Bytes of a Uint8Array, copied. */
struct Bytes {
  std::vector<uint8_t> data;
};

// One `Read` per type that crosses. False when the value is of another type; nothing is thrown and no JavaScript runs
// except the getters of an object's members. A string with a NUL in it is refused: it would name another file.
bool Read(const Napi::Value& value, bool& out);
bool Read(const Napi::Value& value, int& out);
bool Read(const Napi::Value& value, uint32_t& out);
bool Read(const Napi::Value& value, int64_t& out);
bool Read(const Napi::Value& value, uint64_t& out);
bool Read(const Napi::Value& value, std::string& out);
bool Read(const Napi::Value& value, Bytes& out);
bool Read(const Napi::Value& value, MountFlags& out);
bool Read(const Napi::Value& value, IdExtent& out);
/** `{uids: {first, count}, gids: {first, count}}`, each from 0 on, or `{extents: [...]}` for both. */
bool Read(const Napi::Value& value, IdMap& out);

template <typename T>
bool Read(const Napi::Value& value, std::optional<T>& out) {
  if (value.IsNull()) {
    out.reset();
    return true;
  }
  return Read(value, out.emplace());
}

template <typename T>
bool Read(const Napi::Value& value, std::vector<T>& out) {
  if (!value.IsArray()) return false;
  const Napi::Array array = value.As<Napi::Array>();
  out.clear();
  for (uint32_t i = 0; i < array.Length(); i++) {
    T item{};
    if (!Read(array.Get(i), item)) return false;
    out.push_back(std::move(item));
  }
  return true;
}

template <typename T>
bool ReadMember(const Napi::Object& object, const char* name, T& out) {
  return Read(object.Get(name), out);
}

/** One that may be left out: then it is as null. */
template <typename T>
bool ReadOptional(const Napi::Value& value, std::optional<T>& out) {
  return value.IsUndefined() || Read(value, out);
}

/** Throws a TypeError that names the argument (counted from 0), unless something is pending. The value is for `return`.
 */
Napi::Value RefuseArgument(const Napi::CallbackInfo& info, size_t position);

/** Reads the arguments in order. False with a TypeError pending that names the first wrong one. */
template <typename... T>
bool ReadArguments(const Napi::CallbackInfo& info, T&... out) {
  size_t position = 0;
  const bool good = ((Read(info[position], out) && ++position) && ...);
  if (good) return true;
  RefuseArgument(info, position);
  return false;
}

}  // namespace a3s
