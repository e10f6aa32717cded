#pragma once

#include <cstddef>
#include <cstdint>

namespace a3s {

/** The layer's blob from its file, which may still be growing while it is downloaded. */
class BlobReader {
 public:
  BlobReader(int file, uint64_t expected_bytes) : file_(file), expected_bytes_(expected_bytes) {}

  /** At least one byte, waited for; 0 at the blob's end. A failure ends the process. */
  size_t Read(uint8_t* buffer, size_t capacity);

 private:
  const int file_;
  const uint64_t expected_bytes_;
  uint64_t read_bytes_ = 0;
};

}  // namespace a3s
