#pragma once

#include <napi.h>

#include <cstdint>
#include <map>

#include "unique_fd.h"

namespace a3s {

class ExitWatch;
class MountWatch;

/** What one JavaScript environment (the main thread, a worker) has open. There is no other state in the addon. */
struct AddonData {
  uint64_t next_id = 1;
  std::map<uint64_t, UniqueFd> locks;
  std::map<uint64_t, ExitWatch*> watches;
  std::map<uint64_t, MountWatch*> mount_watches;
  /** Watches whose libuv handle has not finished closing. */
  int closing_watches = 0;
  /** Set once the environment ends and waits for us. */
  napi_async_cleanup_hook_handle cleanup = nullptr;

  static AddonData& Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  /** Lets the environment end when nothing of ours is left in its loop. */
  void FinishCleanup() {
    if (cleanup != nullptr && closing_watches == 0 && watches.empty() && mount_watches.empty()) {
      napi_remove_async_cleanup_hook(std::exchange(cleanup, nullptr));
    }
  }
};

}  // namespace a3s
