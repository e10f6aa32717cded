#include "go_on_in.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "arguments.h"
#include "system_error.h"
#include "unique_fd.h"

namespace a3s {

namespace {

/** A thread joins for itself, and has others already: the program begins anew, in this one. */
SystemError JoinAndExecute(const std::string& ns, const std::string& file, std::vector<std::string>& words) {
  const UniqueFd fd(::open(ns.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return Failed("open", ns);
  if (::setns(fd.get(), CLONE_NEWCGROUP) != 0) return Failed("setns", ns);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execve(file.c_str(), argv.data(), environ);
  return Failed("execve", file);
}

}  // namespace

Napi::Value GoOnInCgroupNamespace(const Napi::CallbackInfo& info) {
  std::string ns;
  std::string file;
  std::vector<std::string> words;
  if (!ReadArguments(info, ns, file, words)) return info.Env().Undefined();
  return Throw(info.Env(), JoinAndExecute(ns, file, words));
}

}  // namespace a3s
