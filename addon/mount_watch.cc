#include "mount_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <uv.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>

#include "addon_data.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/**
 * Waits in a thread of its own for changes of the mounts that this process sees: proc_pid_mountinfo(5) says that its
 * file has an exceptional condition then. It is waited for with poll(2) and not in libuv's loop, as the kernel tells
 * each open file of a change once, to whoever asks first: epoll asks when a file is added to it, and asks again before
 * it reports.
 *
 * The thread waits only while somebody wants to know, so that a storm of changes wakes the loop no more often than
 * that. What changes meanwhile is told at the next wait. It deletes itself after `Close`, in libuv's close callback,
 * and does not keep the loop alive.
 */
class MountWatch {
 public:
  static Outcome<MountWatch*> Start(Napi::Env env) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return FailedWith(EIO, "napi_get_uv_event_loop");
    UniqueFd mounts(::open(kPath, O_RDONLY | O_CLOEXEC));
    if (!mounts.valid()) return Failed("open", kPath);
    UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
    if (!wake.valid()) return Failed("eventfd");
    std::unique_ptr<MountWatch> watch(new MountWatch(env, std::move(mounts), std::move(wake)));
    if (const int status = uv_async_init(loop, &watch->changed_, OnChanged); status != 0) {
      return FailedWith(-status, "uv_async_init");
    }
    MountWatch* started = watch.release();  // from here on libuv's close callback deletes it
    started->changed_.data = started;
    uv_unref(reinterpret_cast<uv_handle_t*>(&started->changed_));
    AddonData& data = AddonData::Of(env);
    started->id_ = data.next_id++;
    data.mount_watches.emplace(started->id_, started);
    uv_thread_options_t options = {};
    options.flags = UV_THREAD_HAS_STACK_SIZE;
    options.stack_size = kStackBytes;
    if (const int status = uv_thread_create_ex(&started->thread_, &options, Wait, started); status != 0) {
      started->Close();
      return FailedWith(-status, "uv_thread_create");
    }
    started->has_thread_ = true;
    return started;
  }

  uint64_t id() const { return id_; }

  /** Resolves with true at the next change, with false when it is closed. */
  Napi::Value Next() {
    if (!waiting_) {
      waiting_.emplace(Napi::Promise::Deferred::New(env_));
      Wake();
    }
    return waiting_->Promise();
  }

  /** For the caller in JavaScript, who may be waiting. */
  void End() {
    Settle(false);
    Close();
  }

  void Close() {
    AddonData& data = AddonData::Of(env_);
    data.mount_watches.erase(id_);
    data.closing_watches++;
    if (has_thread_) {
      ended_ = true;
      Wake();
      uv_thread_join(&thread_);
    }
    uv_close(reinterpret_cast<uv_handle_t*>(&changed_), OnClosed);
  }

 private:
  static constexpr const char* kPath = "/proc/self/mountinfo";
  static constexpr size_t kStackBytes = 64 * 1024;

  MountWatch(Napi::Env env, UniqueFd mounts, UniqueFd wake)
      : env_(env), mounts_(std::move(mounts)), wake_(std::move(wake)), context_(env, "a3s_box:mounts") {}

  /** The thread: each turn begins when somebody wants to know. */
  static void Wait(void* argument) {
    auto* watch = static_cast<MountWatch*>(argument);
    for (;;) {
      uint64_t asked = 0;
      if (::read(watch->wake_.get(), &asked, sizeof asked) < 0 && errno == EINTR) continue;
      pollfd files[] = {{watch->mounts_.get(), POLLPRI, 0}, {watch->wake_.get(), POLLIN, 0}};
      while (!watch->ended_ && ::poll(files, 2, -1) < 0 && errno == EINTR) {
      }
      if (watch->ended_) return;
      uv_async_send(&watch->changed_);
    }
  }

  static void OnChanged(uv_async_t* changed) { static_cast<MountWatch*>(changed->data)->Settle(true); }

  static void OnClosed(uv_handle_t* handle) {
    auto* watch = static_cast<MountWatch*>(handle->data);
    AddonData& data = AddonData::Of(watch->env_);
    {
      const Napi::HandleScope scope(watch->env_);
      delete watch;
    }
    data.closing_watches--;
    data.FinishCleanup();
  }

  void Wake() {
    const uint64_t one = 1;
    // can't fail: the counter is read before it could overflow
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  }

  void Settle(bool changed) {
    if (!waiting_) return;
    const Napi::HandleScope scope(env_);
    const Napi::CallbackScope callback(env_, context_);
    waiting_->Resolve(Napi::Boolean::New(env_, changed));
    waiting_.reset();
  }

  Napi::Env env_;
  UniqueFd mounts_;
  /** Written when somebody waits, and at the end. */
  UniqueFd wake_;
  std::atomic<bool> ended_ = false;
  Napi::AsyncContext context_;
  std::optional<Napi::Promise::Deferred> waiting_;
  uv_async_t changed_ = {};
  uv_thread_t thread_ = {};
  bool has_thread_ = false;
  uint64_t id_ = 0;
};

void CloseMountWatches(AddonData& data) {
  while (!data.mount_watches.empty()) data.mount_watches.begin()->second->Close();
}

namespace {

MountWatch* Find(Napi::Env env, uint64_t id) {
  AddonData& data = AddonData::Of(env);
  const auto found = data.mount_watches.find(id);
  return found == data.mount_watches.end() ? nullptr : found->second;
}

Napi::Value Resolved(Napi::Env env, bool value) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Resolve(Napi::Boolean::New(env, value));
  return deferred.Promise();
}

}  // namespace

Napi::Value WatchMounts(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Outcome<MountWatch*> watch = MountWatch::Start(env);
  if (const SystemError* error = watch.error()) return Throw(env, *error);
  const uint64_t id = watch.value()->id();
  const auto next = [id](const Napi::CallbackInfo& call) -> Napi::Value {
    MountWatch* found = Find(call.Env(), id);
    return found == nullptr ? Resolved(call.Env(), false) : found->Next();
  };
  const auto close = [id](const Napi::CallbackInfo& call) {
    if (MountWatch* found = Find(call.Env(), id)) found->End();
  };
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("next", Napi::Function::New(env, next, "next"));
  handle.Set("close", Napi::Function::New(env, close, "close"));
  return handle;
}

}  // namespace a3s
