/*
 * A VMM that a guest has taken over, in libkrun's place in the launcher's jail: does with its sockets' directory what
 * it can. The socket that it leads the daemon to is on the command line of its machine: victim=PATH.
 *
 * Prints "files N" and "bytes N", how much fitted, when it is done; answers each connection by going.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char victim[256];

int32_t krun_a3s_patched(void) { return 0; }
int32_t krun_set_log_level(uint32_t level) { return level > 5; }
int32_t krun_create_ctx(void) { return 0; }
int32_t krun_set_vm_config(uint32_t ctx, uint8_t vcpus, uint32_t mib) { return (int32_t)ctx * (int32_t)(vcpus + mib); }
int32_t krun_set_kernel(uint32_t ctx, const char *path, uint32_t format, const char *initramfs, const char *cmdline) {
  const char *named = strstr(cmdline, "victim=");
  if (ctx || !path || !format || initramfs || !named) return -1;
  return sscanf(named, "victim=%255s", victim) == 1 ? 0 : -1;
}
int32_t krun_disable_implicit_init(uint32_t ctx) { return (int32_t)ctx; }
int32_t krun_disable_implicit_vsock(uint32_t ctx) { return (int32_t)ctx; }
int32_t krun_set_console_output_fd(uint32_t ctx, int fd) { return fd < 0 ? -1 : (int32_t)ctx; }
int32_t krun_set_kvm_fd(int fd) { return fd < 0 ? -1 : 0; }
int32_t krun_add_net_tap_fd(uint32_t ctx, int fd, const uint8_t *mac) { return fd < 0 || !mac ? -1 : (int32_t)ctx; }
int32_t krun_add_virtiofs4(uint32_t ctx, const char *tag, const char *path, uint64_t dax, int ro, uint32_t semantics) {
  return !tag || !path || dax || ro || semantics ? -1 : (int32_t)ctx;
}
int32_t krun_add_vsock(uint32_t ctx, uint32_t tsi) { return (int32_t)(ctx + tsi); }
int32_t krun_add_vsock_port2(uint32_t ctx, uint32_t port, const char *path, int listen) {
  return port && path && listen <= 1 ? (int32_t)ctx : -1;
}

static int listening(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/sockets/agent.sock"};
  const int made = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(made, (struct sockaddr *)&address, sizeof address) || listen(made, 8)) perror("agent.sock");
  return made;
}

/** With what there is no more room for after that. */
static void fill(void) {
  static const char zeros[4096];
  char path[64];
  int files = 0;
  long bytes = 0;
  for (; files < 1000; files++) {
    snprintf(path, sizeof path, "/sockets/%d", files);
    const int made = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (made < 0) break;
    for (ssize_t length; bytes < 64 << 20 && (length = write(made, zeros, sizeof zeros)) > 0;) bytes += length;
    close(made);
  }
  for (int at = 1; at < files; at++) {
    snprintf(path, sizeof path, "/sockets/%d", at);
    unlink(path);
  }
  printf("files %d\nbytes %ld\n", files, bytes);
  fflush(stdout);
}

int32_t krun_start_enter(uint32_t ctx) {
  const int made = listening();
  fill();
  close(accept4(made, 0, 0, SOCK_CLOEXEC));
  unlink("/sockets/agent.sock");
  if (symlinkat(victim, AT_FDCWD, "/sockets/agent.sock")) perror("link");
  /* What is dialled now is the victim, where the link is followed. */
  close(made);
  printf("led to %s\n", victim);
  fflush(stdout);
  for (;;) sleep(60);
  return (int32_t)ctx;
}
