#pragma once

#include <openssl/evp.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arguments.h"

namespace a3s {

/** Bytes that stay where they are until the next call. */
struct Piece {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

/**
 * The uncompressed layer as a stream: a thread of its own inflates and hashes ahead, into a ring of buffers, while the
 * reader writes the tree.
 */
class ContentStream {
 public:
  ContentStream(Compression compression, int blob, uint64_t packed_bytes);

  /** Exactly so many bytes in one piece, or fewer at the end. `size` divides 512, and so do all earlier amounts. */
  Piece Take(size_t size);
  /** As many as are there, at least one, at most `most`; none at the end. */
  Piece TakeSome(uint64_t most);
  /** Reads to the end; "sha256:…" of all that was in the layer. */
  std::string Finish();

 private:
  struct Buffer {
    std::vector<uint8_t> bytes;
    size_t filled = 0;
  };
  struct HashDeleter {
    void operator()(EVP_MD_CTX* hash) const { ::EVP_MD_CTX_free(hash); }
  };
  static constexpr size_t kBuffers = 6;
  static constexpr size_t kBufferBytes = 512 * 1024;

  void Produce();
  void Put(size_t filled);
  /** False at the end. */
  bool Advance();

  const Compression compression_;
  const int blob_;
  const uint64_t packed_bytes_;
  std::unique_ptr<EVP_MD_CTX, HashDeleter> hash_;
  Buffer ring_[kBuffers];
  std::mutex mutex_;
  std::condition_variable changed_;
  /** Buffers filled so far, and given back so far. */
  uint64_t produced_ = 0;
  uint64_t consumed_ = 0;
  bool ended_ = false;
  std::string digest_;
  /** The reader's. */
  const Buffer* current_ = nullptr;
  size_t at_ = 0;
};

}  // namespace a3s
