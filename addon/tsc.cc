#include "tsc.h"

#include <x86intrin.h>

#include <cstdint>
#include <ctime>

namespace a3s {

namespace {

struct Reading {
  uint64_t ticks;
  uint64_t monotonic_ns;
  uint64_t gap_ns;
};

uint64_t MonotonicNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Reading Read() {
  const uint64_t before = MonotonicNs();
  const uint64_t ticks = __rdtsc();
  const uint64_t gap = MonotonicNs() - before;
  return {ticks, before + gap / 2, gap};
}

}  // namespace

Napi::Value ReadTsc(const Napi::CallbackInfo& info) {
  // Of a few readings the one that nothing came in between of.
  Reading best = Read();
  for (int i = 0; i < 4; i++) {
    const Reading next = Read();
    if (next.gap_ns < best.gap_ns) best = next;
  }
  const Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("ticks", Napi::BigInt::New(env, best.ticks));
  result.Set("monotonicNs", Napi::BigInt::New(env, best.monotonic_ns));
  return result;
}

}  // namespace a3s
