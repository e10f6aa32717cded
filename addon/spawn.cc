#include "spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "child_stack.h"
#include "pidfd.h"
#include "pool_work.h"
#include "spawn_child.h"
#include "unique_fd.h"

namespace a3s {

namespace {

struct SpawnOptions {
  std::string file;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;
  std::vector<std::optional<int>> stdio;
  std::optional<std::string> netns;
  bool new_mount_namespace = false;
  bool new_ipc_and_uts = false;
  bool new_pid_namespace = false;
  bool die_with_parent = false;
  std::vector<std::string> cgroup_procs;
  std::optional<uint32_t> max_open_files;
  std::optional<int> oom_score_adj;
};

struct SpawnedProcess {
  int pid = 0;
  UniqueFd pidfd;
  uint64_t start_time = 0;
};

/** What a failed stage was about, for the error. */
SystemError ChildFailure(const SpawnOptions& options, const ChildPlan& plan) {
  switch (plan.failed_stage) {
    case ChildStage::kParent:
      return FailedWith(plan.failed_errno, "prctl PR_SET_PDEATHSIG", options.file);
    case ChildStage::kSession:
      return FailedWith(plan.failed_errno, "setsid", options.file);
    case ChildStage::kCgroup:
      return FailedWith(plan.failed_errno, "write cgroup.procs",
                        options.cgroup_procs[static_cast<size_t>(plan.failed_cgroup)]);
    case ChildStage::kNetns:
      return FailedWith(plan.failed_errno, "setns", options.netns.value_or(""));
    case ChildStage::kPropagation:
      return FailedWith(plan.failed_errno, "mount rslave", "/");
    case ChildStage::kDirectory:
      return FailedWith(plan.failed_errno, "chdir", options.cwd);
    case ChildStage::kStdio:
      return FailedWith(plan.failed_errno, "dup2", options.file);
    case ChildStage::kLimit:
      return FailedWith(plan.failed_errno, "setrlimit RLIMIT_NOFILE", options.file);
    case ChildStage::kExecute:
    case ChildStage::kNone:
      break;
  }
  return FailedWith(plan.failed_errno, "execve", options.file);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/** Descriptors a child takes over, opened in the parent where a failure is easy to tell. */
struct Inheritance {
  UniqueFd null_device;
  UniqueFd netns;
  std::vector<UniqueFd> cgroups;
  std::vector<int> cgroup_numbers;
  std::vector<int> stdio;
};

Failure Open(const SpawnOptions& options, Inheritance& out) {
  out.null_device = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!out.null_device.valid()) return Failed("open", "/dev/null");
  if (options.netns) {
    out.netns = UniqueFd(::open(options.netns->c_str(), O_RDONLY | O_CLOEXEC));
    if (!out.netns.valid()) return Failed("open", *options.netns);
  }
  for (const std::string& path : options.cgroup_procs) {
    UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid()) return Failed("open", path);
    out.cgroup_numbers.push_back(file.get());
    out.cgroups.push_back(std::move(file));
  }
  for (const std::optional<int>& fd : options.stdio) out.stdio.push_back(fd.value_or(out.null_device.get()));
  return std::nullopt;
}

int CloneFlags(const SpawnOptions& options) {
  int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
  if (options.new_mount_namespace) flags |= CLONE_NEWNS;
  if (options.new_ipc_and_uts) flags |= CLONE_NEWIPC | CLONE_NEWUTS;
  if (options.new_pid_namespace) flags |= CLONE_NEWPID;
  return flags;
}

/**
 * clone(2) with the parent's memory shared and this thread suspended until execve or _exit: nothing of a large heap is
 * copied, and the child's report is simply there. Signals stay blocked around it, so that no handler of Node runs in
 * the child.
 */
Outcome<SpawnedProcess> Clone(const SpawnOptions& options, ChildPlan& plan) {
  const ChildStack stack;
  if (!stack.valid()) return FailedWith(ENOMEM, "mmap", options.file);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int pidfd = -1;
  const int pid = ::clone(RunChild, stack.top(), CloneFlags(options), &plan, &pidfd);
  const int number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return FailedWith(number, "clone", options.file);
  SpawnedProcess process{pid, UniqueFd(pidfd), 0};
  if (plan.failed_stage != ChildStage::kNone) {
    siginfo_t info;
    ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
    return ChildFailure(options, plan);
  }
  return process;
}

Outcome<SpawnedProcess> Start(SpawnOptions options) {
  if (options.stdio.size() < 3 || options.args.empty()) return FailedWith(EINVAL, "spawn", options.file);
  Inheritance inherited;
  if (Failure failure = Open(options, inherited)) return *failure;
  const std::vector<char*> argv = Pointers(options.args);
  const std::vector<char*> envp = Pointers(options.env);
  std::vector<int> moved(inherited.stdio.size());
  const std::string score = std::to_string(std::clamp(options.oom_score_adj.value_or(0), -1000, 1000));
  ChildPlan plan;
  plan.file = options.file.c_str();
  plan.argv = argv.data();
  plan.envp = envp.data();
  plan.cwd = options.cwd.c_str();
  plan.stdio = inherited.stdio.data();
  plan.moved = moved.data();
  plan.stdio_count = static_cast<int>(inherited.stdio.size());
  plan.cgroups = inherited.cgroup_numbers.data();
  plan.cgroup_count = static_cast<int>(inherited.cgroup_numbers.size());
  plan.netns = inherited.netns.get();
  plan.slave_mounts = options.new_mount_namespace;
  plan.die_with = options.die_with_parent ? ::getpid() : 0;
  plan.max_open_files = options.max_open_files.value_or(0);
  plan.oom_score_adj = options.oom_score_adj ? score.c_str() : nullptr;
  Outcome<SpawnedProcess> process = Clone(options, plan);
  if (process.error() != nullptr) return process;
  // Nobody has reaped it yet, so the number is still its own.
  Outcome<uint64_t> start_time = StartTimeOf(process.value().pid);
  if (const SystemError* error = start_time.error()) {
    ::kill(process.value().pid, SIGKILL);
    siginfo_t info;
    ::waitid(P_PIDFD, static_cast<id_t>(process.value().pidfd.get()), &info, WEXITED);
    return *error;
  }
  process.value().start_time = start_time.value();
  return process;
}

Napi::Value Give(Napi::Env env, SpawnedProcess& process) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, process.pid));
  result.Set("pidfd", Napi::Number::New(env, process.pidfd.Release()));
  result.Set("startTime", Napi::BigInt::New(env, process.start_time));
  return result;
}

bool ReadOptions(const Napi::Value& value, SpawnOptions& out) {
  if (!value.IsObject()) return false;
  const Napi::Object object = value.As<Napi::Object>();
  return ReadMember(object, "file", out.file) && ReadMember(object, "args", out.args) &&
         ReadMember(object, "env", out.env) && ReadMember(object, "cwd", out.cwd) &&
         ReadMember(object, "stdio", out.stdio) && ReadMember(object, "netns", out.netns) &&
         ReadMember(object, "newMountNamespace", out.new_mount_namespace) &&
         ReadMember(object, "newIpcAndUts", out.new_ipc_and_uts) &&
         (object.Get("newPidNamespace").IsUndefined() ||
          ReadMember(object, "newPidNamespace", out.new_pid_namespace)) &&
         (object.Get("dieWithParent").IsUndefined() || ReadMember(object, "dieWithParent", out.die_with_parent)) &&
         ReadMember(object, "cgroupProcs", out.cgroup_procs) &&
         ReadMember(object, "maxOpenFiles", out.max_open_files) && ReadMember(object, "oomScoreAdj", out.oom_score_adj);
}

}  // namespace

Napi::Value Spawn(const Napi::CallbackInfo& info) {
  SpawnOptions options;
  if (!ReadOptions(info[0], options)) return RefuseArgument(info, 0);
  return PoolWork<SpawnedProcess>::Start(
      info.Env(), [options] { return Start(options); }, Give);
}

}  // namespace a3s
