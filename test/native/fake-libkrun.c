/* Takes libkrun's place in tests of the launcher: instead of starting a machine it tells what it sees. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/** A way to the host's /proc, opened before the jail closes: there is none in it. */
static int outside = -1;

/** Of the jail; what is "self/…" is of the host's /proc. */
static void tell_file(const char *path) {
  char buffer[16384];
  int file = openat(outside, path, O_RDONLY);
  ssize_t length = file < 0 ? -1 : read(file, buffer, sizeof buffer);
  printf("== %s\n%.*s", path, length < 0 ? 0 : (int)length, buffer);
  if (file >= 0) close(file);
}

static void tell_directory(const char *path) {
  printf("== %s\n", path);
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] != '.') printf("entry %s\n", entry->d_name);
  }
}

static void tell_socket(const char *name, int family, int type) {
  int made = socket(family, type, 0);
  printf("socket %s %s\n", name, made >= 0 ? "made" : strerror(errno));
  if (made >= 0) close(made);
}

static int tap = -1, kvm = -1, console = -1;

/** A frame of nothing but zeros, with its header, goes out; the tap can't be changed for another. */
static void tell_tap(void) {
  struct ifreq request = {.ifr_flags = IFF_TAP};
  const char frame[12 + 60] = {0};
  if (tap < 0) return;
  printf("tap %s\n", write(tap, frame, sizeof frame) == (ssize_t)sizeof frame ? "sends" : strerror(errno));
  printf("tap again %s\n", ioctl(tap, TUNSETIFF, &request) == 0 ? "attached" : strerror(errno));
}

/** By the way to the host's /proc that it should not have: what its user may do there. */
static void tell_outside(const char *path) {
  int file = openat(outside, path, O_WRONLY);
  printf("outside %s %s\n", path, file >= 0 ? "opened" : strerror(errno));
  if (file >= 0) close(file);
}

static void tell_opening(const char *path) {
  int file = open(path, O_RDWR);
  printf("open %s %s\n", path, file >= 0 ? "done" : strerror(errno));
  if (file >= 0) close(file);
}

/**
 * What a hostile guest's kernel has libkrun's file server do: LOOKUP of a name with paths in it, OPEN of what was
 * found, WRITE of what is there already.
 */
static void tell_escape(int share, int descriptors, const char *name) {
  char number[16], content[4096];
  int found = openat(share, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (found < 0) {
    printf("escape %s not found: %s\n", name, strerror(errno));
    return;
  }
  snprintf(number, sizeof number, "%d", found);
  int file = openat(descriptors, number, O_RDWR | O_CLOEXEC);
  if (file < 0) {
    printf("escape %s not opened: %s\n", name, strerror(errno));
    return;
  }
  /* A page of the program itself that can't be written, where there is memory at all. */
  off_t at = strstr(name, "mem") ? (off_t)(uintptr_t)tell_escape & ~(off_t)4095 : 0;
  ssize_t length = pread(file, content, sizeof content, at);
  bool is_written = length > 0 && pwrite(file, content, (size_t)length, at) == length;
  printf("escape %s %s\n", name, is_written ? "written" : "opened");
}

static void tell_escapes(void) {
  static const char *const names[] = {"../proc/sys/kernel/core_pattern",
                                      "../proc/sys/kernel/poweroff_cmd",
                                      "../proc/sys/kernel/panic",
                                      "../proc/sys/kernel/threads-max",
                                      "../proc/sys/net/ipv4/ip_forward",
                                      "../proc/self/mem",
                                      "../proc/thread-self/mem",
                                      "../proc/self/task/1/mem",
                                      "../proc/self/fd/../mem",
                                      "../proc/self/fd/../../sys/kernel/core_pattern",
                                      "../proc/1/root",
                                      "../proc/sysrq-trigger",
                                      "../sys",
                                      "../dev/mem",
                                      "../etc"};
  int share = open("/share", O_PATH | O_CLOEXEC);
  int descriptors = open("/proc/self/fd", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) tell_escape(share, descriptors, names[i]);
  close(share);
  close(descriptors);
}

int32_t krun_set_log_level(uint32_t level) { return printf("log level %u\n", level) < 0; }
int32_t krun_create_ctx(void) {
  outside = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return 7;
}
int32_t krun_set_vm_config(uint32_t ctx, uint8_t vcpus, uint32_t mib) {
  printf("machine %u %u %u\n", ctx, vcpus, mib);
  return 0;
}
int32_t krun_set_kernel(uint32_t ctx, const char *path, uint32_t format, const char *initramfs, const char *cmdline) {
  (void)ctx;
  (void)initramfs;
  printf("kernel %u %s\n", format, cmdline);
  tell_file(path);
  return 0;
}
int32_t krun_disable_implicit_init(uint32_t ctx) { return (int32_t)ctx * 0; }
int32_t krun_disable_implicit_vsock(uint32_t ctx) { return (int32_t)ctx * 0; }
int32_t krun_a3s_patched(void) { return 0; }
int32_t krun_set_console_output_fd(uint32_t ctx, int fd) {
  console = fd;
  return (int32_t)ctx * 0;
}
int32_t krun_set_kvm_fd(int fd) {
  kvm = fd;
  return 0;
}
int32_t krun_add_virtiofs4(uint32_t ctx, const char *tag, const char *path, uint64_t dax, bool ro, uint32_t semantics) {
  (void)ctx;
  printf("share %s %s %d %u %u\n", tag, path, ro, (unsigned)dax, semantics);
  return 0;
}
int32_t krun_add_vsock(uint32_t ctx, uint32_t tsi) { return (int32_t)(ctx * 0 + tsi); }
int32_t krun_add_vsock_port2(uint32_t ctx, uint32_t port, const char *path, bool listen) {
  (void)ctx;
  printf("port %u %s %d\n", port, path, listen);
  return 0;
}
int32_t krun_add_net_tap_fd(uint32_t ctx, int fd, const uint8_t *mac) {
  struct ifreq request = {0};
  int header = 0;
  (void)ctx;
  tap = fd;
  if (ioctl(fd, TUNGETIFF, &request) != 0 || ioctl(fd, TUNGETVNETHDRSZ, &header) != 0) return -errno;
  printf("tap %s %02x:%02x:%02x header %d nonblock %d\n", request.ifr_name, mac[0], mac[1], mac[5], header,
         (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  return 0;
}
int32_t krun_start_enter(uint32_t ctx) {
  (void)ctx;
  tell_file("self/status");
  tell_file("self/mountinfo");
  tell_file("self/limits");
  tell_directory("/");
  tell_directory("/share");
  tell_directory("/proc");
  tell_directory("/proc/self");
  tell_escapes();
  printf("write to share %d, to sockets %d, to root %d\n", open("/share/new", O_CREAT | O_WRONLY, 0600) >= 0,
         open("/sockets/new", O_CREAT | O_WRONLY, 0600) >= 0, open("/new", O_CREAT | O_WRONLY, 0600) >= 0);
  tell_file("self/net/dev");
  tell_socket("unix", AF_UNIX, SOCK_STREAM);
  tell_socket("inet", AF_INET, SOCK_STREAM);
  tell_socket("inet6", AF_INET6, SOCK_DGRAM);
  tell_socket("packet", AF_PACKET, SOCK_RAW);
  tell_socket("netlink", AF_NETLINK, SOCK_RAW);
  tell_socket("vsock", AF_VSOCK, SOCK_STREAM);
  tell_tap();
  printf("kvm %d\n", ioctl(kvm, KVM_GET_API_VERSION, 0));
  tell_opening("/dev/kvm");
  tell_outside("sys/kernel/core_pattern");
  tell_outside("sys/kernel/panic");
  tell_outside("sys/kernel/poweroff_cmd");
  tell_opening("/dev/net/tun");
  if (write(console, "console\n", 8) != 8) return -errno;
  fflush(stdout);
  return -22;
}
