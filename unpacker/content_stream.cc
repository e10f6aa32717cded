#include "content_stream.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "blob_reader.h"
#include "decompressor.h"
#include "failure.h"
#include "limits.h"

namespace a3s {

namespace {

void MustHash(int good) {
  if (good != 1) Fail(ErrorCode::kInternal, "SHA-256 can't be computed");
}

std::string Text(const unsigned char* digest, unsigned size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "sha256:";
  for (unsigned i = 0; i < size; i++) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace

ContentStream::ContentStream(Compression compression, int blob, uint64_t packed_bytes)
    : compression_(compression), blob_(blob), packed_bytes_(packed_bytes) {
  for (Buffer& buffer : ring_) buffer.bytes.resize(kBufferBytes);
  // Whatever OpenSSL wants of the kernel for it comes here, before the jail's calls are closed; no file configures it.
  MustHash(::OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr));
  hash_.reset(::EVP_MD_CTX_new());
  MustHash(hash_ != nullptr && ::EVP_DigestInit_ex(hash_.get(), ::EVP_sha256(), nullptr));
  std::thread([this] { Produce(); }).detach();  // ends with the process
}

Piece ContentStream::Take(size_t size) {
  if (!Advance()) return {};
  const size_t given = std::min(size, current_->filled - at_);
  const Piece piece = {current_->bytes.data() + at_, given};
  at_ += given;
  return piece;
}

Piece ContentStream::TakeSome(uint64_t most) {
  if (!Advance()) return {};
  const size_t given = static_cast<size_t>(std::min<uint64_t>(most, current_->filled - at_));
  const Piece piece = {current_->bytes.data() + at_, given};
  at_ += given;
  return piece;
}

std::string ContentStream::Finish() {
  while (Advance()) at_ = current_->filled;
  return digest_;
}

bool ContentStream::Advance() {
  if (current_ != nullptr && at_ < current_->filled) return true;
  std::unique_lock lock(mutex_);
  if (current_ != nullptr) {
    current_ = nullptr;
    consumed_++;
    changed_.notify_all();
  }
  changed_.wait(lock, [this] { return produced_ > consumed_ || ended_; });
  if (produced_ == consumed_) return false;
  current_ = &ring_[consumed_ % kBuffers];
  at_ = 0;
  return true;
}

void ContentStream::Put(size_t filled) {
  std::unique_lock lock(mutex_);
  ring_[produced_ % kBuffers].filled = filled;
  produced_++;
  changed_.notify_all();
  changed_.wait(lock, [this] { return produced_ - consumed_ < kBuffers; });
}

void ContentStream::Produce() {
  BlobReader blob(blob_, packed_bytes_);
  const std::unique_ptr<Decompressor> source = MakeDecompressor(compression_, blob);
  const uint64_t allowed = Limits::BytesFor(packed_bytes_);
  uint64_t total = 0;
  for (;;) {
    Buffer& buffer = ring_[produced_ % kBuffers];
    const size_t filled = source->Read(buffer.bytes.data(), buffer.bytes.size());
    total += filled;
    if (total > allowed) {
      Fail(ErrorCode::kInternal, "it unpacks to more than the " + std::to_string(allowed) + " bytes that a blob of " +
                                     std::to_string(packed_bytes_) + " bytes may become");
    }
    MustHash(::EVP_DigestUpdate(hash_.get(), buffer.bytes.data(), filled));
    if (filled > 0) Put(filled);
    if (filled < buffer.bytes.size()) break;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  MustHash(::EVP_DigestFinal_ex(hash_.get(), digest, &size));
  std::unique_lock lock(mutex_);
  digest_ = Text(digest, size);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace a3s
