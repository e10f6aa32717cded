#include "arguments.h"

#include <cmath>
#include <limits>

namespace a3s {

namespace {

/** A whole number in [low, high]. */
bool ReadWhole(const Napi::Value& value, double low, double high, double& out) {
  if (!value.IsNumber()) return false;
  out = value.As<Napi::Number>().DoubleValue();
  return out >= low && out <= high && std::floor(out) == out;
}

constexpr double kMaxSafeInteger = 9007199254740991.0;

/** A member `{first, count}`: ids of the host that a user namespace's from 0 on are. */
bool ReadIdsFromZero(const Napi::Object& object, const char* name, std::vector<IdExtent>& out) {
  const Napi::Value value = object.Get(name);
  if (!value.IsObject()) return false;
  const Napi::Object range = value.As<Napi::Object>();
  IdExtent extent;
  if (!ReadMember(range, "first", extent.outside) || !ReadMember(range, "count", extent.count)) return false;
  out = {extent};
  return true;
}

}  // namespace

bool Read(const Napi::Value& value, bool& out) {
  if (!value.IsBoolean()) return false;
  out = value.As<Napi::Boolean>().Value();
  return true;
}

bool Read(const Napi::Value& value, int& out) {
  double number = 0;
  if (!ReadWhole(value, std::numeric_limits<int>::min(), std::numeric_limits<int>::max(), number)) return false;
  out = static_cast<int>(number);
  return true;
}

bool Read(const Napi::Value& value, uint32_t& out) {
  double number = 0;
  if (!ReadWhole(value, 0, std::numeric_limits<uint32_t>::max(), number)) return false;
  out = static_cast<uint32_t>(number);
  return true;
}

bool Read(const Napi::Value& value, int64_t& out) {
  bool lossless = false;
  if (!value.IsBigInt()) return false;
  out = value.As<Napi::BigInt>().Int64Value(&lossless);
  return lossless;
}

/** A number or a bigint, not negative. */
bool Read(const Napi::Value& value, uint64_t& out) {
  bool lossless = false;
  if (value.IsBigInt()) {
    out = value.As<Napi::BigInt>().Uint64Value(&lossless);
    return lossless;
  }
  double number = 0;
  if (!ReadWhole(value, 0, kMaxSafeInteger, number)) return false;
  out = static_cast<uint64_t>(number);
  return true;
}

bool Read(const Napi::Value& value, std::string& out) {
  if (!value.IsString()) return false;
  out = value.As<Napi::String>().Utf8Value();
  return out.find('\0') == std::string::npos;
}

bool Read(const Napi::Value& value, Bytes& out) {
  if (!value.IsTypedArray()) return false;
  const Napi::TypedArray array = value.As<Napi::TypedArray>();
  if (array.TypedArrayType() != napi_uint8_array) return false;
  const Napi::Uint8Array bytes = array.As<Napi::Uint8Array>();
  if (bytes.ByteLength() > 0) out.data.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
  return true;
}

bool Read(const Napi::Value& value, MountFlags& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadMember(object, "readonly", out.readonly) && ReadMember(object, "nosuid", out.nosuid) &&
         ReadMember(object, "nodev", out.nodev);
}

bool Read(const Napi::Value& value, IdExtent& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadMember(object, "inside", out.inside) && ReadMember(object, "outside", out.outside) &&
         ReadMember(object, "count", out.count);
}

bool Read(const Napi::Value& value, IdMap& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  if (!object.Has("extents"))
    return ReadIdsFromZero(object, "uids", out.uids) && ReadIdsFromZero(object, "gids", out.gids);
  if (!ReadMember(object, "extents", out.uids) || out.uids.empty()) return false;
  out.gids = out.uids;
  return true;
}

Napi::Value RefuseArgument(const Napi::CallbackInfo& info, size_t position) {
  if (!info.Env().IsExceptionPending()) {
    const std::string text = "a3s_box: argument " + std::to_string(position + 1) + " is wrong";
    Napi::TypeError::New(info.Env(), text).ThrowAsJavaScriptException();
  }
  return info.Env().Undefined();
}

}  // namespace a3s
