#include "spawn_child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

namespace a3s {

namespace {

/** Every signal as a fresh process has it: Node ignores some, and an ignored one would stay so through execve. */
void ResetSignals() {
  struct sigaction fresh = {};
  fresh.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; number++) ::sigaction(number, &fresh, nullptr);  // SIGKILL, SIGSTOP refuse: fine
}

bool EnterCgroups(ChildPlan& plan) {
  for (int i = 0; i < plan.cgroup_count; i++) {
    plan.failed_cgroup = i;
    if (::write(plan.cgroups[i], "0", 1) != 1) return false;
  }
  return true;
}

/** Two passes, so that a number that is both a source and a target is not lost. */
bool ArrangeStdio(const ChildPlan& plan) {
  for (int i = 0; i < plan.stdio_count; i++) {
    plan.moved[i] = ::fcntl(plan.stdio[i], F_DUPFD_CLOEXEC, plan.stdio_count);
    if (plan.moved[i] < 0) return false;
  }
  for (int i = 0; i < plan.stdio_count; i++) {
    if (::dup2(plan.moved[i], i) < 0) return false;
  }
  const auto first = static_cast<unsigned>(plan.stdio_count);
  return ::close_range(first, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

bool LimitOpenFiles(rlim_t wanted) {
  struct rlimit limit = {wanted, wanted};
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return true;
  if (errno != EPERM || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (limit.rlim_max > wanted) limit.rlim_max = wanted;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/** A score below the lowest that this process was ever given needs CAP_SYS_RESOURCE: without it the old one stays. */
void AdjustOomScore(const char* text) {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  if (::write(file, text, strlen(text)) < 0) errno = 0;
  ::close(file);
}

/** The signal comes when the thread ends that made us, one of the pool; it may have come to nothing already. */
bool DieWith(pid_t parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return false;
  errno = ESRCH;
  return ::getppid() == parent;
}

ChildStage Prepare(ChildPlan& plan) {
  ResetSignals();
  if (plan.die_with != 0 && !DieWith(plan.die_with)) return ChildStage::kParent;
  if (::setsid() < 0) return ChildStage::kSession;
  if (!EnterCgroups(plan)) return ChildStage::kCgroup;
  if (plan.oom_score_adj != nullptr) AdjustOomScore(plan.oom_score_adj);
  if (plan.netns >= 0 && ::setns(plan.netns, CLONE_NEWNET) != 0) return ChildStage::kNetns;
  if (plan.slave_mounts && ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return ChildStage::kPropagation;
  }
  if (::chdir(plan.cwd) != 0) return ChildStage::kDirectory;
  if (!ArrangeStdio(plan)) return ChildStage::kStdio;
  if (plan.max_open_files != 0 && !LimitOpenFiles(plan.max_open_files)) return ChildStage::kLimit;
  return ChildStage::kNone;
}

}  // namespace

int RunChild(void* argument) {
  auto& plan = *static_cast<ChildPlan*>(argument);
  ChildStage failed = Prepare(plan);
  if (failed == ChildStage::kNone) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(plan.file, plan.argv, plan.envp);
    failed = ChildStage::kExecute;
  }
  plan.failed_errno = errno;
  plan.failed_stage = failed;
  ::_exit(127);
}

}  // namespace a3s
