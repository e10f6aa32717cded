#include "lent_tun.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>

#include <atomic>

#include "open_mode.h"

namespace a3s {

namespace {

std::atomic<int> lent_tun{-1};

/** Once: afterwards the path is opened as any other, and is not there in a jail. */
int Open(const char* path, int flags, mode_t mode) {
  if (::strcmp(path, "/dev/net/tun") == 0) {
    const int tun = lent_tun.exchange(-1);
    if (tun >= 0) return tun;
  }
  return ::openat(AT_FDCWD, path, flags, mode);
}

}  // namespace

void LendTun(UniqueFd tun) { lent_tun = tun.Release(); }

}  // namespace a3s

/**
 * In the place of the C library's two, for libkrun: a program's symbols come first where they are exported (Makefile).
 * A libkrun that goes another way finds no device in its jail, so that a pod with a network fails and says so.
 */
extern "C" {
int A3sOpen(const char* path, int flags, ...) __asm__("open");
int A3sOpen64(const char* path, int flags, ...) __asm__("open64");
}

int A3sOpen(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = a3s::HasMode(flags) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return a3s::Open(path, flags, mode);
}

int A3sOpen64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = a3s::HasMode(flags) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return a3s::Open(path, flags | O_LARGEFILE, mode);
}
