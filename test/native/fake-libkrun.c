/* Takes libkrun's place in tests of the launcher: instead of starting a machine it tells what it sees. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void tell_folder(const char *path) {
  printf("== %s\n", path);
  DIR *folder = opendir(path);
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] != '.') printf("entry %s\n", entry->d_name);
  }
}

static void tell_socket(const char *name, int family, int type) {
  int made = socket(family, type, 0);
  printf("socket %s %s\n", name, made >= 0 ? "made" : strerror(errno));
  if (made >= 0) close(made);
}

/** As libkrun does it. */
static void tell_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int tun = open("/dev/net/tun", O_RDWR);
  if (tun < 0)
    printf("tun %s\n", strerror(errno));
  else
    printf("attach %s %s\n", name, ioctl(tun, TUNSETIFF, &request) == 0 ? "done" : strerror(errno));
}

/** As its file server looks up an entry of a folder. */
static void tell_lookup(int folder, const char *name) {
  struct stat share, found;
  int file = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0 || fstat(file, &found) != 0 || stat("/share", &share) != 0)
    printf("lookup %s %s\n", name, strerror(errno));
  else
    printf("lookup %s %s\n", name, found.st_ino == share.st_ino ? "the share" : "another");
  close(file);
}

/** As its file server lists a folder for READDIRPLUS, whose answer has 152 bytes and a name for each entry. */
static void tell_listing(int folder) {
  char buffer[4096];
  long entries = 0, overfull = 0;
  for (long got; (got = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0;) {
    size_t used = 0;
    off_t next = 0;
    for (long at = 0; at < got; entries++) {
      struct dirent64 *entry = (struct dirent64 *)(buffer + at);
      used += (152 + strlen(entry->d_name) + 7) & ~(size_t)7;
      next = entry->d_off;
      at += entry->d_reclen;
    }
    if (used > sizeof buffer) overfull++;
    lseek(folder, next, SEEK_SET);
  }
  printf("listing %ld entries, %ld answers too long\n", entries, overfull);
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

static char tap[IFNAMSIZ];

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
int32_t krun_set_console_output(uint32_t ctx, const char *path) {
  int console = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  return (int32_t)ctx * 0 + (write(console, "console\n", 8) == 8 ? 0 : -5);
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
int32_t krun_add_net_tap(uint32_t ctx, const char *name, const uint8_t *mac, uint32_t features, uint32_t flags) {
  (void)ctx;
  strncpy(tap, name, IFNAMSIZ - 1);
  printf("tap %s %02x:%02x:%02x %u %u\n", name, mac[0], mac[1], mac[5], features, flags);
  return 0;
}
int32_t krun_start_enter(uint32_t ctx) {
  (void)ctx;
  tell_file("self/status");
  tell_file("self/mountinfo");
  tell_file("self/limits");
  tell_folder("/");
  tell_folder("/share");
  tell_folder("/proc");
  tell_folder("/proc/self");
  tell_escapes();
  printf("write to share %d, to sockets %d, to root %d\n", open("/share/new", O_CREAT | O_WRONLY, 0600) >= 0,
         open("/sockets/new", O_CREAT | O_WRONLY, 0600) >= 0, open("/new", O_CREAT | O_WRONLY, 0600) >= 0);
  int folder = open("/share/folder", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < 3; i++) tell_lookup(folder, (const char *[]){".", "..", "inner"}[i]);
  tell_listing(folder);
  tell_file("self/net/dev");
  tell_socket("unix", AF_UNIX, SOCK_STREAM);
  tell_socket("inet", AF_INET, SOCK_STREAM);
  tell_socket("inet6", AF_INET6, SOCK_DGRAM);
  tell_socket("packet", AF_PACKET, SOCK_RAW);
  tell_socket("netlink", AF_NETLINK, SOCK_RAW);
  tell_socket("vsock", AF_VSOCK, SOCK_STREAM);
  for (int i = 0; i < 2; i++) tell_tap(tap);
  fflush(stdout);
  return -22;
}
