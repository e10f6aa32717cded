#include "counted_lookups.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <atomic>

#include "failure.h"
#include "open_mode.h"

namespace a3s {

namespace {

std::atomic<const char*> served_share{nullptr};

/** What a file server's lookup opens a name with. */
constexpr int kLookup = O_PATH | O_NOFOLLOW | O_CLOEXEC;

bool IsSelfOrParent(const char* name) { return ::strcmp(name, ".") == 0 || ::strcmp(name, "..") == 0; }

using Syscall = long (*)(long number, ...);
using OpenAt = int (*)(int folder, const char* path, int flags, ...);

/** The C library's, that ours takes the place of. Not a static of the function: to wait for one is a syscall(). */
template <typename Function>
Function Next(std::atomic<Function>& known, const char* name) {
  Function next = known.load(std::memory_order_relaxed);
  if (next != nullptr) return next;
  next = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
  if (next == nullptr) Die(ExitCode::kSymbolMissing, "count lookups", name);
  known.store(next, std::memory_order_relaxed);
  return next;
}

std::atomic<Syscall> next_syscall{nullptr};
std::atomic<OpenAt> next_openat{nullptr};

int OpenFrom(int folder, const char* path, int flags, mode_t mode) {
  const char* share = served_share;
  const bool is_uncounted = share != nullptr && flags == kLookup && IsSelfOrParent(path);
  return Next(next_openat, "openat")(folder, is_uncounted ? share : path, flags, mode);
}

/** Of an entry in the answer to READDIRPLUS. */
size_t AnswerSize(const dirent64& entry) {
  return FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + ::strlen(entry.d_name));
}

/** How many bytes of `listed` are entries that fit together; one at least, as none means the folder's end. */
long FittingBytes(const char* entries, long listed, size_t room) {
  long at = 0;
  for (size_t used = 0; at < listed;) {
    const auto& entry = *reinterpret_cast<const dirent64*>(entries + at);
    used += AnswerSize(entry);
    if (used > room && at > 0) break;
    at += entry.d_reclen;
  }
  return at;
}

}  // namespace

void CountWhatGuestKnows(const char* share) { served_share = share; }

}  // namespace a3s

/** In the place of the C library's two, for libkrun, which calls them so; see lent_tun.cc. */
extern "C" {
int A3sOpenAt(int folder, const char* path, int flags, ...) __asm__("openat");
long A3sSyscall(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");
}

int A3sOpenAt(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = a3s::HasMode(flags) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return a3s::OpenFrom(folder, path, flags, mode);
}

/** Arguments that were not given are handed on as they are found, as the C library's does. */
long A3sSyscall(long number, long a, long b, long c, long d, long e, long f) {
  const long answer = a3s::Next(a3s::next_syscall, "syscall")(number, a, b, c, d, e, f);
  if (number != SYS_getdents64 || answer <= 0 || a3s::served_share == nullptr) return answer;
  return a3s::FittingBytes(reinterpret_cast<const char*>(b), answer, static_cast<size_t>(c));
}
