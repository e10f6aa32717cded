#include "settle.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "failure.h"
#include "open_beneath.h"

namespace a3s {

namespace {

/** The kernel gives ".." up while anything anywhere is being renamed, openat2(2). */
constexpr int kMaxTries = 10'000;

std::string ReadImplied(int around) {
  const UniqueFd file(OpenBeneath(around, "implied", O_RDONLY | O_NOFOLLOW, 0));
  if (!file.valid()) FailOfErrno("open", "implied", errno);
  std::string all;
  char buffer[65536];
  ssize_t got;
  while ((got = ::read(file.get(), buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<size_t>(got));
  if (got < 0) FailOfErrno("read", "implied", errno);
  return all;
}

/** A link below leads where a container would see it lead, as far as that layer has it. */
UniqueFd OpenBelow(int lower, const std::string& path) {
  struct open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  int opened;
  int tries = 0;
  do opened = static_cast<int>(::syscall(SYS_openat2, lower, path.c_str(), &how, sizeof how));
  while (opened < 0 && errno == EAGAIN && ++tries < kMaxTries);
  return UniqueFd(opened);
}

/** The uppermost folder of that path below; false when there is none. */
bool LookUp(const std::vector<UniqueFd>& lowers, const std::string& path, struct stat& found) {
  for (const UniqueFd& lower : lowers) {
    const UniqueFd opened = OpenBelow(lower.get(), path.empty() ? "." : path);
    if (!opened.valid() && (errno == ENOENT || errno == ELOOP)) continue;
    if (!opened.valid() && errno == ENOTDIR) return false;  // removed there, or a file: the new one stands in its place
    if (!opened.valid()) FailOfErrno("open", path, errno);
    if (::fstat(opened.get(), &found) != 0) FailOfErrno("stat", path, errno);
    return S_ISDIR(found.st_mode);
  }
  return false;
}

void Take(int root, const std::string& path, const struct stat& from) {
  const char* name = path.empty() ? "." : path.c_str();
  const UniqueFd folder(OpenBeneath(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0));
  if (!folder.valid()) FailOfErrno("open", path, errno);
  if (::fchown(folder.get(), from.st_uid, from.st_gid) != 0) FailOfErrno("chown", path, errno);
  if (::fchmod(folder.get(), from.st_mode & 07777) != 0) FailOfErrno("chmod", path, errno);
  const struct timespec times[2] = {from.st_mtim, from.st_mtim};
  if (::futimens(folder.get(), times) != 0) FailOfErrno("utimens", path, errno);
}

}  // namespace

void Settle(int around, const std::vector<UniqueFd>& lowers) {
  const UniqueFd root(OpenBeneath(around, "fs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0));
  if (!root.valid()) FailOfErrno("open", "fs", errno);
  const std::string implied = ReadImplied(around);
  for (size_t at = 0; at < implied.size();) {
    const std::string path = implied.c_str() + at;
    at += path.size() + 1;
    struct stat found;
    if (LookUp(lowers, path, found)) Take(root.get(), path, found);
  }
}

}  // namespace a3s
