#include "run.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include <charconv>
#include <string_view>

#include "../addon/unique_fd.h"
#include "allowed_calls.h"
#include "config.h"
#include "console_log.h"
#include "failure.h"
#include "jail.h"
#include "krun_library.h"
#include "privileges.h"
#include "tap.h"

namespace a3s {

namespace {

constexpr uint32_t kAgentPort = 1025;
constexpr uint32_t kReadyPort = 1026;
constexpr uint32_t kKernelFormatElf = 1;

/** libkrun has some eight. It counts where its user is no other process's: in a user namespace. */
constexpr uint64_t kThreadsBesideProcessors = 32;

/** All the machine can write on the host besides the share. */
constexpr char kJailSockets[] = "/sockets";

std::string FdPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

/** Ends the process when libkrun refused; otherwise the answer. */
uint32_t Must(int32_t answer, const char* what) {
  if (answer < 0) DieOfErrno(ExitCode::kMachine, "set up the machine", what, -answer);
  return static_cast<uint32_t>(answer);
}

/** What is the host's and not in the jail, opened before it closes. */
struct Opened {
  UniqueFd kernel;
  UniqueFd console;
  UniqueFd console_events;
  UniqueFd kvm;
  /** Where the config has one. */
  UniqueFd tap;
};

UniqueFd Open(const std::string& path, int flags, ExitCode code, const char* stage) {
  UniqueFd opened(::open(path.c_str(), flags | O_CLOEXEC));
  if (!opened.valid()) DieOfErrno(code, stage, path);
  return opened;
}

Opened OpenAll(const Config& config) {
  Opened opened;
  opened.kernel = Open(config.kernel, O_RDONLY, ExitCode::kKernel, "kernel");
  opened.console = OpenConsoleLog(config.console);
  opened.console_events = WatchConsoleLog(opened.console);
  if (config.tap) opened.tap = OpenTapForVirtioNet(config.tap->name);
  opened.kvm = Open("/dev/kvm", O_RDWR, ExitCode::kDevice, "kvm");
  return opened;
}

void SetUp(const KrunLibrary& krun, uint32_t ctx, const Config& config, Opened& opened) {
  const std::string sockets = kJailSockets;
  Must(krun.set_vm_config(ctx, config.vcpus, config.memory_mib), "processors and memory");
  Must(krun.disable_implicit_init(ctx), "no init of its own");
  Must(krun.disable_implicit_vsock(ctx), "no vsock of its own");
  Must(krun.set_kernel(ctx, FdPath(opened.kernel.get()).c_str(), kKernelFormatElf, nullptr, config.cmdline.c_str()),
       "kernel");
  Must(krun.set_console_output_fd(ctx, opened.console.get()), "console");
  Must(krun.add_virtiofs4(ctx, config.tag.c_str(), kJailShare, 0, false, 0), "share");
  Must(krun.add_vsock(ctx, 0), "vsock");
  Must(krun.add_vsock_port2(ctx, kAgentPort, (sockets + "/agent.sock").c_str(), true), "agent socket");
  Must(krun.add_vsock_port2(ctx, kReadyPort, (sockets + "/ready.sock").c_str(), false), "ready socket");
  if (config.tap) Must(krun.add_net_tap_fd(ctx, opened.tap.Release(), config.tap->mac), "tap");
  Must(krun.set_kvm_fd(opened.kvm.Release()), "KVM");
}

View Device(const std::string& path) {
  return {path, path, View::Kind::kDevice, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};
}

/** libkrun's file server is what a hostile guest speaks to, and opens files again through /proc/self/fd. */
JailPlan JailOf(const Config& config) {
  constexpr uint64_t kHarmless = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  JailPlan plan;
  plan.own_descriptors = true;
  plan.no_network = true;
  plan.trees = ShareTrees(config.share, config.base);
  plan.views = {{config.socket_directory, kJailSockets, View::Kind::kDirectory, kHarmless},
                Device("/dev/null"),
                Device("/dev/urandom")};
  return plan;
}

/** Ours from now on, and not for who may be executed. */
UniqueFd TakeUserNamespace(const Config& config) {
  if (!config.user_namespace) return UniqueFd();
  UniqueFd taken(*config.user_namespace);
  if (::fcntl(taken.get(), F_SETFD, FD_CLOEXEC) != 0) DieOfErrno(ExitCode::kConfig, "config", "userns");
  return taken;
}

/**
 * The order matters: libraries are loaded and files opened while the host can still be seen, then the jail closes,
 * then the capabilities that closed it go. The only thread is started after that; the list of calls holds for it and
 * for libkrun's.
 */
[[noreturn]] void Run(UniqueFd config_fd) {
  const Config config = ReadConfig(config_fd.get());
  config_fd.Reset();
  UniqueFd user_namespace = TakeUserNamespace(config);
  SetLimits(config.open_files);
  const KrunLibrary krun = LoadKrun(config.libkrun);
  krun.set_log_level(config.log_level);
  const uint32_t ctx = Must(krun.create_ctx(), "context");
  Opened opened = OpenAll(config);
  EnterJail(JailOf(config));
  if (user_namespace.valid()) {
    LimitProcesses(config.vcpus + kThreadsBesideProcessors);
    // Last: its root could open none of what is above, and make no jail.
    EnterUserNamespace(user_namespace);
    user_namespace.Reset();
    // Who made the namespace enters our mounts, by its right over it, once more as if we had been executed in there.
    if (::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) DieOfErrno(ExitCode::kPrivileges, "user namespace", "dumpable");
  }
  DropPrivileges(0, kFileServerCapabilities);
  SetUp(krun, ctx, config, opened);
  LimitConsoleLog(std::move(opened.console), std::move(opened.console_events));
  AllowKrunCalls();
  DieOfErrno(ExitCode::kStart, "start the machine", "libkrun", -krun.start_enter(ctx));
}

}  // namespace

void RunFromFile(const char* path) {
  UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) DieOfErrno(ExitCode::kConfig, "config", path);
  Run(std::move(file));
}

void RunFromDescriptor(const char* number) {
  const std::string_view text = number;
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || fd < 0) {
    Die(ExitCode::kUsage, "arguments", "--config-fd takes the number of a descriptor");
  }
  Run(UniqueFd(fd));
}

}  // namespace a3s
