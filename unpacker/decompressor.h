#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "arguments.h"
#include "blob_reader.h"

namespace a3s {

/** The uncompressed content of a blob. A failure ends the process. */
class Decompressor {
 public:
  virtual ~Decompressor() = default;
  /** Fills the buffer, but for the last time; 0 at the end. */
  virtual size_t Read(uint8_t* buffer, size_t capacity) = 0;
};

std::unique_ptr<Decompressor> MakeDecompressor(Compression compression, BlobReader& blob);

}  // namespace a3s
