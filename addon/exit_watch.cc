#include "exit_watch.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <uv.h>

#include <cerrno>
#include <memory>

#include "addon_data.h"
#include "arguments.h"
#include "join_accepted.h"
#include "mount_watch.h"
#include "unique_fd.h"

namespace a3s {

/**
 * A poll handle on a pidfd in the environment's own loop. A pidfd becomes readable when its process has ended; waitid
 * with P_PIDFD then reaps that process and no other, so libuv's own children are left alone.
 *
 * It deletes itself: after the exit, or after `Close`, in libuv's close callback. It does not keep the loop alive.
 */
class ExitWatch {
 public:
  static Outcome<ExitWatch*> Start(Napi::Env env, int pidfd) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return FailedWith(EIO, "napi_get_uv_event_loop");
    // Of its own: libuv takes a descriptor once per loop, and the caller may close his.
    UniqueFd own(::fcntl(pidfd, F_DUPFD_CLOEXEC, 3));
    if (!own.valid()) return Failed("fcntl", std::to_string(pidfd));
    std::unique_ptr<ExitWatch> watch(new ExitWatch(env, std::move(own)));
    if (const int status = uv_poll_init(loop, &watch->poll_, watch->pidfd_.get()); status != 0) {
      return FailedWith(-status, "uv_poll_init", std::to_string(pidfd));
    }
    ExitWatch* started = watch.release();  // from here on libuv's close callback deletes it
    started->poll_.data = started;
    if (const int status = uv_poll_start(&started->poll_, UV_READABLE, OnReadable); status != 0) {
      started->Close();
      return FailedWith(-status, "uv_poll_start", std::to_string(pidfd));
    }
    uv_unref(reinterpret_cast<uv_handle_t*>(&started->poll_));
    AddonData& data = AddonData::Of(env);
    started->id_ = data.next_id++;
    data.watches.emplace(started->id_, started);
    return started;
  }

  /** Stops watching and forgets. */
  void Close() {
    AddonData& data = AddonData::Of(env_);
    data.watches.erase(id_);
    data.closing_watches++;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
  }

  uint64_t id() const { return id_; }
  Napi::Promise exited() const { return deferred_.Promise(); }

 private:
  ExitWatch(Napi::Env env, UniqueFd pidfd)
      : env_(env),
        pidfd_(std::move(pidfd)),
        deferred_(Napi::Promise::Deferred::New(env)),
        context_(env, "a3s_box:exit") {}

  static void OnReadable(uv_poll_t* poll, int /* status */, int /* events */) {
    static_cast<ExitWatch*>(poll->data)->Reap();
  }

  static void OnClosed(uv_handle_t* handle) {
    auto* watch = static_cast<ExitWatch*>(handle->data);
    AddonData& data = AddonData::Of(watch->env_);
    {
      const Napi::HandleScope scope(watch->env_);
      delete watch;
    }
    data.closing_watches--;
    data.FinishCleanup();
  }

  void Reap() {
    siginfo_t info = {};
    const int result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
    if (result != 0 && errno == EINTR) return;    // still readable: called again
    if (result == 0 && info.si_pid == 0) return;  // not ended after all
    const bool ours = result == 0;                // otherwise ECHILD: someone else's child, or reaped before
    const Napi::HandleScope scope(env_);
    const Napi::CallbackScope callback(env_, context_);
    Napi::Object exit = Napi::Object::New(env_);
    exit.Set("code", ours && info.si_code == CLD_EXITED ? Napi::Number::New(env_, info.si_status) : env_.Null());
    exit.Set("signal", ours && info.si_code != CLD_EXITED ? Napi::Number::New(env_, info.si_status) : env_.Null());
    deferred_.Resolve(exit);
    Close();
  }

  Napi::Env env_;
  UniqueFd pidfd_;
  Napi::Promise::Deferred deferred_;
  Napi::AsyncContext context_;
  uv_poll_t poll_ = {};
  uint64_t id_ = 0;
};

namespace {

/** Node goes on running the loop until the hook's handle is removed, so the watches can close properly. */
void OnEnvironmentEnd(napi_async_cleanup_hook_handle handle, void* argument) {
  auto* data = static_cast<AddonData*>(argument);
  data->cleanup = handle;
  while (!data->watches.empty()) data->watches.begin()->second->Close();
  CloseMountWatches(*data);
  CloseJoins(*data);
  data->FinishCleanup();
}

}  // namespace

void InstallWatchCleanup(Napi::Env env) {
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, &AddonData::Of(env), nullptr);
}

Napi::Value WatchExit(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int pidfd = -1;
  if (!ReadArguments(info, pidfd)) return env.Undefined();
  Outcome<ExitWatch*> watch = ExitWatch::Start(env, pidfd);
  if (const SystemError* error = watch.error()) return Throw(env, *error);
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("exited", watch.value()->exited());
  const auto close = [id = watch.value()->id()](const Napi::CallbackInfo& call) {
    AddonData& data = AddonData::Of(call.Env());
    if (const auto found = data.watches.find(id); found != data.watches.end()) found->second->Close();
  };
  handle.Set("close", Napi::Function::New(env, close, "close"));
  return handle;
}

}  // namespace a3s
