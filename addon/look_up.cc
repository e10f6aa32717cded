#include "look_up.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "arguments.h"
#include "system_error.h"

namespace a3s {

namespace {

/** A few buffers of PATH_MAX. */
constexpr size_t stack_bytes = 256 * 1024;

struct HostFile {
  std::string path;
  struct stat facts = {};
};

/**
 * One question to a file system that may never answer. It has a thread of its own, which waits for that long: those of
 * the pool are few, and all of the daemon's.
 */
struct Question {
  explicit Question(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise::Deferred deferred;
  std::string path;
  std::optional<Outcome<HostFile>> outcome;
  napi_threadsafe_function answer = nullptr;
};

Outcome<HostFile> Ask(const std::string& path) {
  const std::unique_ptr<char, decltype(&::free)> resolved(::realpath(path.c_str(), nullptr), &::free);
  if (resolved == nullptr) return Failed("realpath", path);
  HostFile file;
  file.path = resolved.get();
  if (::stat(resolved.get(), &file.facts) != 0) return Failed("stat", file.path);
  return file;
}

const char* KindOf(const struct stat& facts) {
  switch (facts.st_mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFSOCK:
      return "socket";
    case S_IFIFO:
      return "fifo";
    default:
      return "device";
  }
}

void* AskOnThread(void* argument) {
  auto* question = static_cast<Question*>(argument);
  const napi_threadsafe_function answer = question->answer;
  question->outcome.emplace(Ask(question->path));
  // Fails only when the environment has ended: it has no use for an answer, and the process ends.
  napi_call_threadsafe_function(answer, question, napi_tsfn_nonblocking);
  napi_release_threadsafe_function(answer, napi_tsfn_release);
  return nullptr;
}

void Answer(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Question> question(static_cast<Question*>(data));
  if (env == nullptr) return;
  if (const SystemError* error = question->outcome->error()) {
    question->deferred.Reject(ToJavaScript(env, *error).Value());
    return;
  }
  const HostFile& file = question->outcome->value();
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", file.path);
  object.Set("kind", KindOf(file.facts));
  object.Set("device", Napi::BigInt::New(env, static_cast<uint64_t>(file.facts.st_dev)));
  object.Set("inode", Napi::BigInt::New(env, static_cast<uint64_t>(file.facts.st_ino)));
  question->deferred.Resolve(object);
}

bool StartThread(Question* question) {
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return false;
  ::pthread_attr_setstacksize(&attributes, stack_bytes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const bool started = ::pthread_create(&thread, &attributes, AskOnThread, question) == 0;
  ::pthread_attr_destroy(&attributes);
  return started;
}

}  // namespace

Napi::Value LookUp(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto question = std::make_unique<Question>(env);
  if (!ReadArguments(info, question->path)) return env.Undefined();
  const Napi::Promise promise = question->deferred.Promise();
  const Napi::String name = Napi::String::New(env, "a3s_box look up");
  const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                             nullptr, Answer, &question->answer);
  if (status != napi_ok) return Throw(env, FailedWith(ENOMEM, "lookUp", question->path));
  Question* asked = question.release();  // the thread's, then the answer's
  const napi_threadsafe_function answer = asked->answer;
  if (StartThread(asked)) return promise;
  const std::unique_ptr<Question> taken_back(asked);
  napi_release_threadsafe_function(answer, napi_tsfn_abort);
  return Throw(env, FailedWith(EAGAIN, "pthread_create", taken_back->path));
}

/** exit(3) waits for the threads of the pool, one of which may be in a call that never ends. */
Napi::Value ExitNow(const Napi::CallbackInfo& info) {
  int status = 0;
  if (!ReadArguments(info, status)) return info.Env().Undefined();
  ::_exit(status);
}

}  // namespace a3s
