#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <string_view>
#include <utility>

#include "arguments.h"
#include "broker.h"
#include "content_stream.h"
#include "failure.h"
#include "jail.h"
#include "layer_tree.h"
#include "limits.h"
#include "open_beneath.h"
#include "pack.h"
#include "privileges.h"
#include "settle.h"
#include "tar_reader.h"

namespace a3s {

namespace {

int OpenAround() {
  const int around = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (around < 0) DieOfErrno("open /");
  return around;
}

[[noreturn]] void OutOfMemory() {
  // Nothing may be allocated any more: the status says enough.
  ::_exit(static_cast<int>(ExitCode::kNoMemory));
}

void WriteImplied(int around, const std::string& paths) {
  const UniqueFd file(OpenBeneath(around, "implied", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (!file.valid()) FailOfErrno("open", "implied", errno);
  size_t done = 0;
  while (done < paths.size()) {
    const ssize_t written = ::write(file.get(), paths.data() + done, paths.size() - done);
    if (written < 0) FailOfErrno("write", "implied", errno);
    done += static_cast<size_t>(written);
  }
}

/** What making any file with any owner, mode and file capability takes; devices are the broker's to make. */
void KeepUnpackersCapabilities() {
  KeepCapabilities({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP});
}

/** For "trusted." and "security." attributes. No byte of a layer is parsed here, but for names of directories. */
void KeepSettlersCapabilities() {
  KeepCapabilities({CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP, CAP_SYS_ADMIN});
}

/** For files of any owner, and "trusted." attributes. No byte of a layer is parsed here, but for its names. */
void KeepPackersCapabilities() { KeepCapabilities({CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN}); }

[[noreturn]] void Unpack(const UnpackArguments& arguments) {
  UserNamespace users = BindToParent(arguments.root_id);
  const uint32_t owners = users.fd.valid() ? Limits::kOwners : UINT32_MAX;
  EnterJail(arguments.directory, {}, users);
  StartBroker(users);
  EnterUserNamespace(std::move(users));
  const int around = OpenAround();
  OpenResult(around);
  KeepUnpackersCapabilities();
  ContentStream stream(arguments.compression, STDIN_FILENO, arguments.packed_bytes);
  AllowCallsOf(Role::kUnpacker);
  LayerTree tree(around, arguments.packed_bytes, owners);
  TarReader reader(stream);
  TarEntry entry;
  while (reader.Next(entry)) {
    AtEntry(entry.name);
    tree.Write(entry, reader);
    AtEntry({});
  }
  const std::string actual = stream.Finish();
  if (actual != arguments.diff_id) {
    Fail(ErrorCode::kInternal,
         "the unpacked layer is " + actual + ", and not " + arguments.diff_id + " as the config says");
  }
  tree.Finish();
  WriteImplied(around, tree.ImpliedDirectories());
  Succeed(tree.OpaqueDirectories());
}

[[noreturn]] void SettleLayer(const SettleArguments& arguments) {
  const UserNamespace none = BindToParent(0);
  const std::vector<UniqueFd> lowers = EnterJail(arguments.directory, arguments.lowers, none);
  const int around = OpenAround();
  OpenResult(around);
  KeepSettlersCapabilities();
  AllowCallsOf(Role::kSettler);
  Settle(around, lowers);
  Succeed({});
}

[[noreturn]] void PackLayer(const PackArguments& arguments) {
  const UserNamespace none = BindToParent(0);
  const std::vector<UniqueFd> trees = EnterJail(arguments.directory, {arguments.tree}, none);
  const int around = OpenAround();
  OpenResult(around);
  KeepPackersCapabilities();
  AllowCallsOf(Role::kPacker);
  Pack(around, trees.front().get(), arguments.uuid);
  Succeed({});
}

[[noreturn]] void Probe(const ProbeArguments& arguments) {
  UserNamespace users = BindToParent(arguments.root_id);
  EnterJail(arguments.directory, {}, users);
  EnterUserNamespace(std::move(users));
  ::_exit(static_cast<int>(ExitCode::kDone));
}

}  // namespace

}  // namespace a3s

int main(int argc, char** argv) {
  std::set_new_handler(a3s::OutOfMemory);
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "settle") a3s::SettleLayer(a3s::ReadSettleArguments(argc, argv));
  if (verb == "pack") a3s::PackLayer(a3s::ReadPackArguments(argc, argv));
  if (verb == "probe") a3s::Probe(a3s::ReadProbeArguments(argc, argv));
  a3s::Unpack(a3s::ReadUnpackArguments(argc, argv));
}
