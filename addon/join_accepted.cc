#include "join_accepted.h"

#include <sys/socket.h>
#include <uv.h>

// After the socket types that it needs.
#include <linux/vm_sockets.h>

#include <memory>

#include "addon_data.h"
#include "arguments.h"
#include "joined_pairs.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

/**
 * Pairs in the environment's own loop, which looks at their epoll set when that has something to tell. There is no
 * thread: each byte passes that loop in any case, on its way to who serves the connection.
 *
 * It ends when nobody is listened for and nobody is joined any more, or with the environment; then it deletes itself,
 * in libuv's close callback. It does not keep the loop alive: the sockets at the other ends do.
 */
class Join {
 public:
  static Outcome<Join*> Start(Napi::Env env, UniqueFd listener, size_t most, Napi::Function arrived) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return FailedWith(EIO, "napi_get_uv_event_loop");
    Outcome<JoinedPairs*> pairs = JoinedPairs::Open(std::move(listener), most);
    if (const SystemError* error = pairs.error()) return *error;
    std::unique_ptr<Join> join(new Join(env, std::unique_ptr<JoinedPairs>(pairs.value()), arrived));
    if (const int status = uv_timer_init(loop, &join->timer_); status != 0) return FailedWith(-status, "uv_timer_init");
    Join* started = join.release();  // from here on libuv's close callbacks delete it
    started->timer_.data = started;
    started->open_handles_ = 1;
    AddonData& data = AddonData::Of(env);
    started->id_ = data.next_id++;
    data.joins.emplace(started->id_, started);
    if (const int status = uv_poll_init(loop, &started->poll_, started->pairs_->epoll()); status != 0) {
      started->Close();
      return FailedWith(-status, "uv_poll_init");
    }
    started->poll_.data = started;
    started->has_poll_ = true;
    started->open_handles_ = 2;
    uv_poll_start(&started->poll_, UV_READABLE, OnReadable);
    uv_timer_start(&started->timer_, OnTick, kTickMs, kTickMs);
    uv_unref(reinterpret_cast<uv_handle_t*>(&started->poll_));
    uv_unref(reinterpret_cast<uv_handle_t*>(&started->timer_));
    return started;
  }

  uint64_t id() const { return id_; }

  void StopListening() {
    pairs_->StopListening();
    CloseIfIdle();
  }

  /** Cuts off who is joined. */
  void Close() {
    if (closing_) return;
    closing_ = true;
    AddonData& data = AddonData::Of(env_);
    data.joins.erase(id_);
    data.closing_watches++;
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), OnClosed);
    if (has_poll_) uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
  }

 private:
  static constexpr uint64_t kTickMs = 1000;

  Join(Napi::Env env, std::unique_ptr<JoinedPairs> pairs, Napi::Function arrived)
      : env_(env), pairs_(std::move(pairs)), arrived_(Napi::Persistent(arrived)), context_(env, "a3s_box:join") {}

  static void OnReadable(uv_poll_t* poll, int /* status */, int /* events */) {
    static_cast<Join*>(poll->data)->Step();
  }

  static void OnTick(uv_timer_t* timer) {
    auto* join = static_cast<Join*>(timer->data);
    join->pairs_->Tick();
    join->CloseIfIdle();
  }

  static void OnClosed(uv_handle_t* handle) {
    auto* join = static_cast<Join*>(handle->data);
    if (--join->open_handles_ > 0) return;
    AddonData& data = AddonData::Of(join->env_);
    {
      const Napi::HandleScope scope(join->env_);
      delete join;
    }
    data.closing_watches--;
    data.FinishCleanup();
  }

  void Step() {
    std::vector<Arrived> arrived;
    pairs_->Step(arrived);
    for (Arrived& one : arrived) Tell(one);
    CloseIfIdle();
  }

  void Tell(Arrived& one) {
    const Napi::HandleScope scope(env_);
    const Napi::CallbackScope callback(env_, context_);
    arrived_.Call({Napi::Number::New(env_, one.fd.Release()), Napi::Number::New(env_, one.cid),
                   Napi::Number::New(env_, one.port)});
  }

  void CloseIfIdle() {
    if (pairs_->idle()) Close();
  }

  Napi::Env env_;
  std::unique_ptr<JoinedPairs> pairs_;
  Napi::FunctionReference arrived_;
  Napi::AsyncContext context_;
  uv_poll_t poll_ = {};
  uv_timer_t timer_ = {};
  bool has_poll_ = false;
  bool closing_ = false;
  int open_handles_ = 0;
  uint64_t id_ = 0;
};

void CloseJoins(AddonData& data) {
  while (!data.joins.empty()) data.joins.begin()->second->Close();
}

Napi::Value BindVsock(const Napi::CallbackInfo& info) {
  uint32_t port = 0;
  if (!ReadArguments(info, port)) return info.Env().Undefined();
  UniqueFd fd(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Throw(info.Env(), Failed("socket"));
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  address.svm_port = port;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Throw(info.Env(), Failed("bind"));
  }
  return Napi::Number::New(info.Env(), fd.Release());
}

Napi::Value JoinAccepted(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  int fd = -1;
  uint32_t most = 0;
  if (!Read(info[0], fd)) return RefuseArgument(info, 0);
  UniqueFd listener(fd);
  if (!Read(info[1], most) || most == 0) return RefuseArgument(info, 1);
  if (!info[2].IsFunction()) return RefuseArgument(info, 2);
  Outcome<Join*> join = Join::Start(env, std::move(listener), most, info[2].As<Napi::Function>());
  if (const SystemError* error = join.error()) return Throw(env, *error);
  const auto close = [id = join.value()->id()](const Napi::CallbackInfo& call) {
    AddonData& data = AddonData::Of(call.Env());
    if (const auto found = data.joins.find(id); found != data.joins.end()) found->second->StopListening();
  };
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("close", Napi::Function::New(env, close, "close"));
  return handle;
}

}  // namespace a3s
