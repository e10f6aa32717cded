#pragma once

#include <napi.h>

#include <cstdint>
#include <map>

#include "unique_fd.h"

namespace a3s {

class ExitWatch;
class Join;
class MountWatch;

/** What one JavaScript environment (the main thread, a worker) has open. There is no other state in the addon. */
struct AddonData {
  uint64_t next_id = 1;
  std::map<uint64_t, UniqueFd> locks;
  std::map<uint64_t, ExitWatch*> watches;
  std::map<uint64_t, MountWatch*> mount_watches;
  std::map<uint64_t, Join*> joins;
  /** Watches and joins whose libuv handles have not finished closing. */
  int closing_watches = 0;
  /** Set once the environment ends and waits for us. */
  napi_async_cleanup_hook_handle cleanup = nullptr;

  static AddonData& Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  /** Lets the environment end when nothing of ours is left in its loop. */
  void FinishCleanup() {
    const bool none = watches.empty() && mount_watches.empty() && joins.empty();
    if (cleanup != nullptr && closing_watches == 0 && none) {
      napi_remove_async_cleanup_hook(std::exchange(cleanup, nullptr));
    }
  }
};

}  // namespace a3s
