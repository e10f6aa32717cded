#include "blob_reader.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "failure.h"

namespace a3s {

namespace {

/**
 * Nobody tells how far a download is: the file's length says so. The daemon ends this process when the download fails,
 * and gives a download up itself that brings nothing for a minute; this limit is for when it forgets to.
 */
constexpr long kShortestWaitNs = 500'000;
constexpr long kLongestWaitNs = 8'000'000;
constexpr long kLimitNs = 900'000'000'000;

void Sleep(long ns) {
  const struct timespec time = {0, ns};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

}  // namespace

size_t BlobReader::Read(uint8_t* buffer, size_t capacity) {
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(capacity, expected_bytes_ - read_bytes_));
  if (wanted == 0) return 0;
  long waited = 0;
  for (long wait = kShortestWaitNs;; wait = std::min(wait * 2, kLongestWaitNs)) {
    const ssize_t got = ::read(file_, buffer, wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) FailOfErrno("read", "the blob", errno);
    read_bytes_ += static_cast<uint64_t>(got);
    if (got > 0) return static_cast<size_t>(got);
    if (waited > kLimitNs) Fail(ErrorCode::kUnavailable, "no byte of the layer came for 15 minutes");
    Sleep(wait);
    waited += wait;
  }
}

}  // namespace a3s
