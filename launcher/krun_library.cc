#include "krun_library.h"

#include <dlfcn.h>

#include "failure.h"

namespace a3s {

namespace {

template <typename Function>
void LookUp(void* library, const std::string& path, const char* name, Function& out) {
  void* symbol = ::dlsym(library, name);
  if (symbol == nullptr) Die(ExitCode::kSymbolMissing, "load libkrun", path + " has no " + name);
  out = reinterpret_cast<Function>(symbol);
}

}  // namespace

KrunLibrary LoadKrun(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) Die(ExitCode::kLibraryMissing, "load libkrun", ::dlerror());
  KrunLibrary krun;
  LookUp(library, path, "krun_a3s_patched", krun.a3s_patched);
  LookUp(library, path, "krun_set_log_level", krun.set_log_level);
  LookUp(library, path, "krun_create_ctx", krun.create_ctx);
  LookUp(library, path, "krun_set_vm_config", krun.set_vm_config);
  LookUp(library, path, "krun_set_kernel", krun.set_kernel);
  LookUp(library, path, "krun_disable_implicit_init", krun.disable_implicit_init);
  LookUp(library, path, "krun_disable_implicit_vsock", krun.disable_implicit_vsock);
  LookUp(library, path, "krun_set_kvm_fd", krun.set_kvm_fd);
  LookUp(library, path, "krun_set_console_output_fd", krun.set_console_output_fd);
  LookUp(library, path, "krun_add_virtiofs4", krun.add_virtiofs4);
  LookUp(library, path, "krun_add_vsock", krun.add_vsock);
  LookUp(library, path, "krun_add_vsock_port2", krun.add_vsock_port2);
  LookUp(library, path, "krun_add_net_tap_fd", krun.add_net_tap_fd);
  LookUp(library, path, "krun_start_enter", krun.start_enter);
  return krun;
}

}  // namespace a3s
