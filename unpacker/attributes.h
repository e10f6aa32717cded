#pragma once

#include <cerrno>
#include <string>
#include <string_view>

#include "failure.h"

namespace a3s {

/** Extended attributes that overlayfs has for itself. */
inline bool IsOverlays(std::string_view attribute) {
  return attribute.rfind("trusted.overlay.", 0) == 0 || attribute.rfind("user.overlay.", 0) == 0;
}

/**
 * A list of attributes, or the value of one, of what failures call `name`; empty where the file system has none. The
 * size is asked for first, and nobody changes a layer in between.
 */
template <typename Read>
std::string ReadAttributes(std::string_view name, Read read) {
  std::string all;
  const ssize_t size = read(nullptr, 0);
  if (size < 0 && errno == ENOTSUP) return all;
  if (size < 0) FailOfErrno("read attributes", name, errno);
  all.resize(static_cast<size_t>(size));
  const ssize_t got = size == 0 ? 0 : read(all.data(), all.size());
  if (got < 0) FailOfErrno("read attributes", name, errno);
  all.resize(static_cast<size_t>(got));
  return all;
}

}  // namespace a3s
