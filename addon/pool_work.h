#pragma once

#include <napi.h>

#include <functional>
#include <utility>

#include "system_error.h"

namespace a3s {

/** Work for a pool thread that settles a promise. `work` touches no JavaScript value, `convert` runs on the JS thread.
 */
template <typename T>
class PoolWork final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Outcome<T>()>;
  using Convert = std::function<Napi::Value(Napi::Env, T&)>;

  static Napi::Value Start(Napi::Env env, Work work, Convert convert) {
    auto* worker = new PoolWork(env, std::move(work), std::move(convert));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 private:
  PoolWork(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env, "a3s_box"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  void Execute() override { outcome_.emplace(work_()); }

  void OnOK() override {
    if (const SystemError* error = outcome_->error()) {
      deferred_.Reject(ToJavaScript(Env(), *error).Value());
    } else {
      deferred_.Resolve(convert_(Env(), outcome_->value()));
    }
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::optional<Outcome<T>> outcome_;
};

/** The same for work that yields nothing. */
inline Napi::Value StartOnPool(Napi::Env env, std::function<Failure()> work) {
  auto run = [work = std::move(work)]() -> Outcome<bool> {
    if (Failure failure = work()) return std::move(*failure);
    return true;
  };
  return PoolWork<bool>::Start(env, std::move(run), [](Napi::Env e, bool&) -> Napi::Value { return e.Undefined(); });
}

}  // namespace a3s
