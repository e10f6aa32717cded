#pragma once

#include <cstdint>
#include <string>

namespace a3s {

/** The functions of libkrun 1.19.7 that we call; each answers 0 or an id, or a negative errno. */
struct KrunLibrary {
  int32_t (*set_log_level)(uint32_t level);
  int32_t (*create_ctx)();
  int32_t (*set_vm_config)(uint32_t ctx, uint8_t vcpus, uint32_t ram_mib);
  /** Format 1 is ELF. */
  int32_t (*set_kernel)(uint32_t ctx, const char* path, uint32_t format, const char* initramfs, const char* cmdline);
  int32_t (*disable_implicit_init)(uint32_t ctx);
  int32_t (*disable_implicit_vsock)(uint32_t ctx);
  /** The implicit console (hvc0) goes to this file, which is opened at the start. */
  int32_t (*set_console_output)(uint32_t ctx, const char* path);
  int32_t (*add_virtiofs4)(uint32_t ctx, const char* tag, const char* path, uint64_t dax_window, bool read_only,
                           uint32_t semantics);
  int32_t (*add_vsock)(uint32_t ctx, uint32_t tsi_features);
  int32_t (*add_vsock_port2)(uint32_t ctx, uint32_t port, const char* unix_path, bool listen);
  int32_t (*add_net_tap)(uint32_t ctx, const char* name, const uint8_t* mac, uint32_t features, uint32_t flags);
  /** Comes back only when the machine could not be started; otherwise the process ends with the machine. */
  int32_t (*start_enter)(uint32_t ctx);
};

/** Loads it for good; whatever is wrong ends the process. */
KrunLibrary LoadKrun(const std::string& path);

}  // namespace a3s
