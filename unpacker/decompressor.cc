#include "decompressor.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "failure.h"

namespace a3s {

namespace {

constexpr size_t kInputBytes = 256 * 1024;
/** 128 MiB, what zstd itself takes without being told: a frame says how much memory it wants. */
constexpr int kZstdWindowLog = 27;

[[noreturn]] void Broken(const std::string& why) { Fail(ErrorCode::kInternal, "it can't be decompressed: " + why); }

class Plain : public Decompressor {
 public:
  explicit Plain(BlobReader& blob) : blob_(blob) {}

  size_t Read(uint8_t* buffer, size_t capacity) override {
    size_t filled = 0;
    while (filled < capacity) {
      const size_t got = blob_.Read(buffer + filled, capacity - filled);
      if (got == 0) break;
      filled += got;
    }
    return filled;
  }

 private:
  BlobReader& blob_;
};

/** RFC 1952: one member after the other. What follows the last one and is none is padding, as for gzip(1). */
class Gzip : public Decompressor {
 public:
  explicit Gzip(BlobReader& blob) : blob_(blob), input_(kInputBytes) {
    ::isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
  }

  size_t Read(uint8_t* buffer, size_t capacity) override {
    state_.next_out = buffer;
    state_.avail_out = static_cast<uint32_t>(capacity);
    while (state_.avail_out > 0 && !ended_) Step();
    return capacity - state_.avail_out;
  }

 private:
  void Step() {
    const bool more = state_.avail_in > 0 || Refill();
    if (state_.block_state == ISAL_BLOCK_FINISH) {
      ended_ = !more || !NextMember();
      if (ended_) return;
    }
    const uint32_t before_in = state_.avail_in;
    const uint32_t before_out = state_.avail_out;
    const int outcome = ::isal_inflate(&state_);
    if (outcome != ISAL_DECOMP_OK) Broken(TextOf(outcome));
    if (state_.block_state == ISAL_BLOCK_FINISH) return;
    const bool stuck = state_.avail_in == before_in && state_.avail_out == before_out;
    if (!more && stuck) Broken("unexpected end of file");
  }

  bool Refill() {
    state_.next_in = input_.data();
    state_.avail_in = static_cast<uint32_t>(blob_.Read(input_.data(), input_.size()));
    return state_.avail_in > 0;
  }

  /** False where something else begins; the rest is read, since the blob may still be coming. */
  bool NextMember() {
    if (state_.next_in[0] == 0x1f) {
      ::isal_inflate_reset(&state_);
      state_.crc_flag = ISAL_GZIP;
      return true;
    }
    while (Refill()) {
    }
    return false;
  }

  static const char* TextOf(int outcome) {
    switch (outcome) {
      case ISAL_INVALID_BLOCK:
        return "invalid block";
      case ISAL_INVALID_SYMBOL:
        return "invalid symbol";
      case ISAL_INVALID_LOOKBACK:
        return "invalid distance";
      case ISAL_INVALID_WRAPPER:
        return "incorrect header";
      case ISAL_UNSUPPORTED_METHOD:
        return "unknown compression method";
      case ISAL_INCORRECT_CHECKSUM:
        return "incorrect data check";
      default:
        return "invalid data";
    }
  }

  BlobReader& blob_;
  std::vector<uint8_t> input_;
  struct inflate_state state_;
  bool ended_ = false;
};

/** RFC 8878: frames and skippable frames in any order, which the library joins. */
class Zstd : public Decompressor {
 public:
  explicit Zstd(BlobReader& blob) : blob_(blob), input_(kInputBytes), stream_(::ZSTD_createDStream()) {
    if (stream_ == nullptr) Broken("no memory");
    ::ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLog);
  }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;
  ~Zstd() override { ::ZSTD_freeDStream(stream_); }

  size_t Read(uint8_t* buffer, size_t capacity) override {
    ZSTD_outBuffer out = {buffer, capacity, 0};
    while (out.pos < out.size) {
      if (part_.pos == part_.size) Refill();
      const size_t before = out.pos;
      const bool at_end = part_.size == 0;
      const size_t outcome = ::ZSTD_decompressStream(stream_, &out, &part_);
      if (::ZSTD_isError(outcome) != 0) Broken(::ZSTD_getErrorName(outcome));
      if (!at_end) {
        inside_ = outcome != 0;
        continue;
      }
      if (out.pos > before) continue;  // what it still held
      if (inside_) Broken("unexpected end of file");
      break;
    }
    return out.pos;
  }

 private:
  void Refill() { part_ = {input_.data(), blob_.Read(input_.data(), input_.size()), 0}; }

  BlobReader& blob_;
  std::vector<uint8_t> input_;
  ZSTD_inBuffer part_ = {nullptr, 0, 0};
  ZSTD_DStream* stream_;
  /** A frame has begun and not ended. */
  bool inside_ = false;
};

}  // namespace

std::unique_ptr<Decompressor> MakeDecompressor(Compression compression, BlobReader& blob) {
  switch (compression) {
    case Compression::kNone:
      return std::make_unique<Plain>(blob);
    case Compression::kGzip:
      return std::make_unique<Gzip>(blob);
    case Compression::kZstd:
      return std::make_unique<Zstd>(blob);
  }
  Broken("unknown compression");
}

}  // namespace a3s
