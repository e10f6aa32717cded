#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "arguments.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/** A process, whose mount namespace is meant: for as long as it lives, and no other one's that has its number later. */
struct NamedProcess {
  int pid = 0;
  uint64_t start_time = 0;
};

/** `{pid, startTime}`. */
bool Read(const Napi::Value& value, NamedProcess& out);

/**
 * The calling thread's mounts are that process's from now on, its root and its directory the top of them: a thread that
 * is done after that. ESRCH when the process has ended.
 */
Failure EnterMountsOf(const NamedProcess& process);

/** On a thread of its own among the mounts of the process, or here where there is none. */
Failure AmongMountsOf(const std::optional<NamedProcess>& process, const std::function<Failure()>& work);

/** O_PATH, where no component may be a link; among the mounts that the thread is in. */
Outcome<UniqueFd> OpenWithoutLinks(const std::string& path);

Napi::Value OpenAmongMounts(const Napi::CallbackInfo& info);
Napi::Value ReadMounts(const Napi::CallbackInfo& info);

}  // namespace a3s
