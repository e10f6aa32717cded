#include "tree.h"

#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <set>

#include "arguments.h"
#include "pool_work.h"
#include "tree_walk.h"

namespace a3s {

namespace {

class Remover final : public TreeVisitor {
 public:
  void OnDirectory(const struct stat&) override {}

  int OnFile(int directory, const char* name) override {
    if (::unlinkat(directory, name, 0) != 0) return errno;
    removed_++;
    return 0;
  }

  int OnOtherMount(int, const char*) override { return EBUSY; }

  /** A file system may skip entries of a directory that changes while it is read: read again as long as that helps. */
  int AfterDirectory(int directory, const char* name, After& after) override {
    if (::unlinkat(directory, name, AT_REMOVEDIR) == 0) {
      removed_++;
      return 0;
    }
    if (errno == ENOTEMPTY && removed_ != removed_at_retry_) {
      removed_at_retry_ = removed_;
      after = After::kReadAgain;
      return 0;
    }
    return errno;
  }

 private:
  uint64_t removed_ = 0;
  uint64_t removed_at_retry_ = UINT64_MAX;
};

struct Usage {
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

/** A number of JavaScript's that says whether somebody still waits: 0. Made and given up on its thread. */
class StopFlag {
 public:
  StopFlag() = default;
  explicit StopFlag(const Napi::Int32Array& numbers)
      : kept_(std::make_shared<Napi::Reference<Napi::Int32Array>>(Napi::Persistent(numbers))),
        number_(numbers.Data()) {}

  bool raised() const { return number_ != nullptr && __atomic_load_n(number_, __ATOMIC_RELAXED) != 0; }

 private:
  std::shared_ptr<Napi::Reference<Napi::Int32Array>> kept_;
  const int32_t* number_ = nullptr;
};

class Counter final : public TreeVisitor {
 public:
  explicit Counter(const StopFlag& stop) : stop_(stop) {}

  const Usage& usage() const { return usage_; }

  void OnDirectory(const struct stat& info) override { Add(info); }

  int OnFile(int directory, const char* name) override {
    if (stop_.raised()) return ECANCELED;
    struct stat info;
    if (::fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return errno;
    if (info.st_nlink > 1 && !seen_.emplace(info.st_dev, info.st_ino).second) return 0;
    Add(info);
    return 0;
  }

  int OnOtherMount(int, const char*) override { return 0; }
  int AfterDirectory(int, const char*, After&) override { return stop_.raised() ? ECANCELED : 0; }

 private:
  void Add(const struct stat& info) {
    usage_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    usage_.inodes++;
  }

  const StopFlag& stop_;
  Usage usage_;
  std::set<std::pair<dev_t, ino_t>> seen_;
};

/** The directory that holds the last component of a path, and that component. */
struct Place {
  UniqueFd parent;
  std::string name;
};

Outcome<Place> PlaceOf(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return FailedWith(EINVAL, "open", path);
  std::string directory = ".";
  if (slash != std::string::npos) directory = slash == 0 ? "/" : path.substr(0, slash);
  UniqueFd parent(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent.valid()) return Failed("open", directory);
  return Place{std::move(parent), name};
}

Failure Remove(const std::string& path) {
  Outcome<Place> place = PlaceOf(path);
  if (const SystemError* error = place.error()) {
    return error->number == ENOENT ? Failure() : Failure(*error);
  }
  return RemoveTreeAt(place.value().parent.get(), place.value().name, path);
}

Outcome<Usage> Measure(const std::string& path, const StopFlag& stop) {
  // The top may be a mount of its own: it is entered as "." of itself.
  UniqueFd top(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!top.valid()) return Failed("open", path);
  struct stat info;
  if (::fstat(top.get(), &info) != 0) return Failed("fstat", path);
  if (!S_ISDIR(info.st_mode)) return Usage{static_cast<uint64_t>(info.st_blocks) * 512, 1};
  Counter counter(stop);
  if (Failure failure = TreeWalk(counter).Run(top.get(), ".", path)) return *failure;
  return counter.usage();
}

Napi::Value Give(Napi::Env env, Usage& usage) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("bytes", Napi::BigInt::New(env, usage.bytes));
  result.Set("inodes", Napi::BigInt::New(env, usage.inodes));
  return result;
}

}  // namespace

Failure RemoveTreeAt(int parent, const std::string& name, const std::string& path) {
  Remover remover;
  Failure failure = TreeWalk(remover).Run(parent, name, path);
  if (failure && failure->number == ENOENT) return std::nullopt;
  return failure;
}

Napi::Value RemoveTree(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  return StartOnPool(info.Env(), [=] { return Remove(path); });
}

Napi::Value TreeUsage(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  const Napi::Value numbers = info[1];
  StopFlag stop;
  if (!numbers.IsUndefined()) {
    const bool good = numbers.IsTypedArray() && numbers.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array &&
                      numbers.As<Napi::TypedArray>().ElementLength() > 0;
    if (!good) return RefuseArgument(info, 1);
    stop = StopFlag(numbers.As<Napi::Int32Array>());
  }
  return PoolWork<Usage>::Start(
      info.Env(), [=] { return Measure(path, stop); }, Give);
}

}  // namespace a3s
