#pragma once

#include <cstdint>
#include <string>

namespace a3s {

/**
 * The functions that we call of a libkrun 1.19.7 with our patches (native-deps/libkrun/patches); each answers 0 or an
 * id, or a negative errno.
 */
struct KrunLibrary {
  /** Is there for who looks for it: without the patches libkrun lets a guest name files of the host. */
  int32_t (*a3s_patched)();
  int32_t (*set_log_level)(uint32_t level);
  int32_t (*create_ctx)();
  int32_t (*set_vm_config)(uint32_t ctx, uint8_t vcpus, uint32_t ram_mib);
  /** Format 1 is ELF. */
  int32_t (*set_kernel)(uint32_t ctx, const char* path, uint32_t format, const char* initramfs, const char* cmdline);
  int32_t (*disable_implicit_init)(uint32_t ctx);
  int32_t (*disable_implicit_vsock)(uint32_t ctx);
  /** The next machine uses this descriptor of /dev/kvm, and closes it. libkrun takes it. */
  int32_t (*set_kvm_fd)(int fd);
  /** The implicit console (hvc0) goes there. The descriptor stays ours. */
  int32_t (*set_console_output_fd)(uint32_t ctx, int fd);
  int32_t (*add_virtiofs4)(uint32_t ctx, const char* tag, const char* path, uint64_t dax_window, bool read_only,
                           uint32_t semantics);
  int32_t (*add_vsock)(uint32_t ctx, uint32_t tsi_features);
  int32_t (*add_vsock_port2)(uint32_t ctx, uint32_t port, const char* unix_path, bool listen);
  /** A queue of a tap that is attached and set up. libkrun takes it. */
  int32_t (*add_net_tap_fd)(uint32_t ctx, int fd, const uint8_t* mac);
  /** Comes back only when the machine could not be started; otherwise the process ends with the machine. */
  int32_t (*start_enter)(uint32_t ctx);
};

/** Loads it for good; whatever is wrong ends the process. */
KrunLibrary LoadKrun(const std::string& path);

}  // namespace a3s
