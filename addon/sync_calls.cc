#include "sync_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cerrno>
#include <memory>

#include "arguments.h"
#include "mount_target.h"
#include "open_in.h"
#include "tree.h"

namespace a3s {

namespace {

using Info = Napi::CallbackInfo;

/** One component: no way out of the folder. "." (the folder itself) is one. */
struct Name {
  std::string text;
};

bool Read(const Napi::Value& value, Name& out) {
  if (!a3s::Read(value, out.text)) return false;
  return !out.text.empty() && out.text != ".." && out.text.find('/') == std::string::npos;
}

Napi::Value Answer(const Info& info, int result, const char* syscall, const std::string& path) {
  if (result != 0) return Throw(info.Env(), Failed(syscall, path));
  return info.Env().Undefined();
}

Napi::Value GiveFd(const Info& info, UniqueFd fd, const char* syscall, const std::string& path) {
  if (!fd.valid()) return Throw(info.Env(), Failed(syscall, path));
  return Napi::Number::New(info.Env(), fd.Release());
}

Napi::Value OpenRootSync(const Info& info) {
  std::string path;
  if (!ReadArguments(info, path)) return info.Env().Undefined();
  return GiveFd(info, UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), "open", path);
}

Napi::Value OpenBeneathSync(const Info& info) {
  int dirfd = -1;
  std::string path;
  uint32_t flags = 0;
  uint32_t mode = 0;
  if (!ReadArguments(info, dirfd, path, flags, mode)) return info.Env().Undefined();
  constexpr uint64_t kResolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return GiveFd(info, OpenAt2(dirfd, path, flags, mode, kResolve), "openat2", path);
}

Napi::Value MkdiratSync(const Info& info) {
  int dirfd = -1;
  Name name;
  uint32_t mode = 0;
  if (!ReadArguments(info, dirfd, name, mode)) return info.Env().Undefined();
  return Answer(info, ::mkdirat(dirfd, name.text.c_str(), mode), "mkdirat", name.text);
}

Napi::Value SymlinkatSync(const Info& info) {
  std::string target;
  int dirfd = -1;
  Name name;
  if (!ReadArguments(info, target, dirfd, name)) return info.Env().Undefined();
  return Answer(info, ::symlinkat(target.c_str(), dirfd, name.text.c_str()), "symlinkat", name.text);
}

Napi::Value LinkatSync(const Info& info) {
  int from = -1;
  Name from_name;
  int to = -1;
  Name to_name;
  if (!ReadArguments(info, from, from_name, to, to_name)) return info.Env().Undefined();
  const int result = ::linkat(from, from_name.text.c_str(), to, to_name.text.c_str(), 0);
  return Answer(info, result, "linkat", from_name.text + " -> " + to_name.text);
}

Napi::Value MknodatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  uint32_t mode = 0;
  uint32_t major_number = 0;
  uint32_t minor_number = 0;
  if (!ReadArguments(info, dirfd, name, mode, major_number, minor_number)) return info.Env().Undefined();
  const dev_t device = ::makedev(major_number, minor_number);
  return Answer(info, ::mknodat(dirfd, name.text.c_str(), mode, device), "mknodat", name.text);
}

Napi::Value UnlinkatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  bool directory = false;
  if (!ReadArguments(info, dirfd, name, directory)) return info.Env().Undefined();
  return Answer(info, ::unlinkat(dirfd, name.text.c_str(), directory ? AT_REMOVEDIR : 0), "unlinkat", name.text);
}

Napi::Value FchownatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  if (!ReadArguments(info, dirfd, name, uid, gid)) return info.Env().Undefined();
  const int result = ::fchownat(dirfd, name.text.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW);
  return Answer(info, result, "fchownat", name.text);
}

Napi::Value FchmodatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  uint32_t mode = 0;
  if (!ReadArguments(info, dirfd, name, mode)) return info.Env().Undefined();
  const UniqueFd file(::openat(dirfd, name.text.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return Throw(info.Env(), Failed("openat", name.text));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) return Throw(info.Env(), Failed("fstat", name.text));
  if (S_ISLNK(status.st_mode)) return Throw(info.Env(), FailedWith(EOPNOTSUPP, "fchmodat", name.text));
  return Answer(info, ::chmod(FdPath(file.get()).c_str(), mode), "fchmodat", name.text);
}

struct timespec FromNanoseconds(int64_t ns) {
  constexpr int64_t kPerSecond = 1'000'000'000;
  int64_t seconds = ns / kPerSecond;
  int64_t rest = ns % kPerSecond;
  if (rest < 0) {  // before 1970
    seconds--;
    rest += kPerSecond;
  }
  return {seconds, rest};
}

Napi::Value UtimensatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  int64_t atime_ns = 0;
  int64_t mtime_ns = 0;
  if (!ReadArguments(info, dirfd, name, atime_ns, mtime_ns)) return info.Env().Undefined();
  const struct timespec times[] = {FromNanoseconds(atime_ns), FromNanoseconds(mtime_ns)};
  return Answer(info, ::utimensat(dirfd, name.text.c_str(), times, AT_SYMLINK_NOFOLLOW), "utimensat", name.text);
}

/** There is no lsetxattrat before Linux 6.13: the folder is named through its descriptor. */
Napi::Value LsetxattrSync(const Info& info) {
  int dirfd = -1;
  Name name;
  std::string attribute;
  Bytes value;
  if (!ReadArguments(info, dirfd, name, attribute, value)) return info.Env().Undefined();
  const std::string path = FdPath(dirfd) + "/" + name.text;
  const int result = ::lsetxattr(path.c_str(), attribute.c_str(), value.data.data(), value.data.size(), 0);
  return Answer(info, result, "lsetxattr", name.text + ": " + attribute);
}

Napi::Value KindatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  if (!ReadArguments(info, dirfd, name)) return info.Env().Undefined();
  struct stat status;
  if (::fstatat(dirfd, name.text.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return info.Env().Null();
    return Throw(info.Env(), Failed("fstatat", name.text));
  }
  const char* kind = "other";
  if (S_ISREG(status.st_mode)) kind = "file";
  if (S_ISDIR(status.st_mode)) kind = "directory";
  if (S_ISLNK(status.st_mode)) kind = "symlink";
  return Napi::String::New(info.Env(), kind);
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

Napi::Value ReaddirSync(const Info& info) {
  int dirfd = -1;
  if (!ReadArguments(info, dirfd)) return info.Env().Undefined();
  UniqueFd own(::openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));  // its own position
  if (!own.valid()) return Throw(info.Env(), Failed("openat", "."));
  const std::unique_ptr<DIR, CloseFolder> folder(::fdopendir(own.get()));
  if (folder == nullptr) return Throw(info.Env(), Failed("fdopendir", "."));
  own.Release();
  Napi::Array names = Napi::Array::New(info.Env());
  errno = 0;
  while (const struct dirent* entry = ::readdir(folder.get())) {
    if (::strcmp(entry->d_name, ".") != 0 && ::strcmp(entry->d_name, "..") != 0) {
      names.Set(names.Length(), Napi::String::New(info.Env(), entry->d_name));
    }
    errno = 0;
  }
  if (errno != 0) return Throw(info.Env(), Failed("readdir", "."));
  return names;
}

Napi::Value RemoveTreeatSync(const Info& info) {
  int dirfd = -1;
  Name name;
  if (!ReadArguments(info, dirfd, name)) return info.Env().Undefined();
  if (Failure failure = RemoveTreeAt(dirfd, name.text, name.text)) return Throw(info.Env(), *failure);
  return info.Env().Undefined();
}

Napi::Value CloseSync(const Info& info) {
  int fd = -1;
  if (!ReadArguments(info, fd)) return info.Env().Undefined();
  return Answer(info, ::close(fd) != 0 && errno != EINTR ? -1 : 0, "close", std::to_string(fd));
}

}  // namespace

void ExportSyncCalls(Napi::Object exports) {
  const auto add = [&exports](const char* name, Napi::Value (*function)(const Info&)) {
    exports.Set(name, Napi::Function::New(exports.Env(), function, name));
  };
  add("openRootSync", OpenRootSync);
  add("openBeneathSync", OpenBeneathSync);
  add("mkdiratSync", MkdiratSync);
  add("symlinkatSync", SymlinkatSync);
  add("linkatSync", LinkatSync);
  add("mknodatSync", MknodatSync);
  add("unlinkatSync", UnlinkatSync);
  add("fchownatSync", FchownatSync);
  add("fchmodatSync", FchmodatSync);
  add("utimensatSync", UtimensatSync);
  add("lsetxattratSync", LsetxattrSync);
  add("kindatSync", KindatSync);
  add("readdirSync", ReaddirSync);
  add("removeTreeatSync", RemoveTreeatSync);
  add("closeSync", CloseSync);
}

}  // namespace a3s
