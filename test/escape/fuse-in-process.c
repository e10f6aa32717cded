/*
 * A guest that controls its virtio-fs queue, as seen by libkrun's file server: takes libkrun's place in the launcher's
 * jail, starts libkrun's own virtio-fs device there (native-deps/libkrun/file-server), and is its guest.
 *
 * The command line of its machine is CANARY AREA, see fuse-client.h.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuse-client.h"

/** See native-deps/libkrun/file-server/src/lib.rs. */
struct rings {
  uint64_t descriptors, available, used;
  uint16_t entries;
};
int a3s_serve(const char *share, uint8_t *memory, size_t size, const struct rings *rings);

uint8_t *memory;
static struct vring ring;
static int kick;
static char canary[4096], area[256], share[64];

int chain(uint32_t length, uint32_t answer, uint64_t answer_at) {
  ring.desc[0] = (struct vring_desc){REQUEST_AT, length, VRING_DESC_F_NEXT, 1};
  /* The answer's header by itself, as Linux does it: libkrun writes it to another place where it is not. */
  const uint32_t header = sizeof(struct fuse_out_header);
  ring.desc[1] = (struct vring_desc){answer_at, header, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2};
  ring.desc[2] = (struct vring_desc){answer_at + header, answer - header, VRING_DESC_F_WRITE, 0};
  const uint16_t before = ring.used->idx;
  const uint64_t one = 1;
  ring.avail->ring[ring.avail->idx % ENTRIES] = 0;
  __sync_synchronize();
  ring.avail->idx++;
  if (write(kick, &one, 8) != 8) return -errno;
  for (int i = 0; i < 5000; i++) {
    __sync_synchronize();
    if (*(volatile uint16_t *)&ring.used->idx != before) return ring.used->ring[before % ENTRIES].len ? 0 : -ENODATA;
    nanosleep(&(struct timespec){.tv_nsec = 100000}, 0);
  }
  return -ETIME;
}

static int start(void) {
  memory = mmap(0, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  vring_init(&ring, ENTRIES, memory, 4096);
  const struct rings at = {(uint8_t *)ring.desc - memory, (uint8_t *)ring.avail - memory, (uint8_t *)ring.used - memory,
                           ENTRIES};
  kick = a3s_serve(share, memory, MEMORY, &at);
  return kick < 0 ? -EIO : 0;
}

/** Every request that takes a name, with every name that is none. */
static void try_names(uint64_t node) {
  static const char *const names[] = {"",
                                      ".",
                                      "..",
                                      "/",
                                      "../outside",
                                      "inner/../../../outside",
                                      "inner/new",
                                      "./new",
                                      "inner/",
                                      "/etc/passwd",
                                      "../../../proc/self/fd",
                                      "../../../proc/self/mem",
                                      "../../../proc/sys/kernel/core_pattern",
                                      "../../../sockets/new",
                                      "../../../dev/null"};
  const struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0644};
  const struct fuse_mkdir_in make = {.mode = 0755};
  const struct fuse_mknod_in fifo = {.mode = S_IFIFO | 0666};
  const struct fuse_rename_in rename = {.newdir = node};
  const struct fuse_rename2_in rename2 = {.newdir = node, .flags = 1};
  const struct fuse_link_in link = {.oldnodeid = node};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *const name = names[i];
    const struct {
      const char *request;
      int error;
    } tried[] = {{"LOOKUP", named(FUSE_LOOKUP, node, "", 0, name, 0)},
                 {"CREATE", named(FUSE_CREATE, node, &create, sizeof create, name, 0)},
                 {"MKDIR", named(FUSE_MKDIR, node, &make, sizeof make, name, 0)},
                 {"MKNOD", named(FUSE_MKNOD, node, &fifo, sizeof fifo, name, 0)},
                 {"SYMLINK", named(FUSE_SYMLINK, node, "", 0, name, "target")},
                 {"LINK", named(FUSE_LINK, node, &link, sizeof link, name, 0)},
                 {"UNLINK", named(FUSE_UNLINK, node, "", 0, name, 0)},
                 {"RMDIR", named(FUSE_RMDIR, node, "", 0, name, 0)},
                 {"RENAME of", named(FUSE_RENAME, node, &rename, sizeof rename, name, "new")},
                 {"RENAME to", named(FUSE_RENAME, node, &rename, sizeof rename, "inner", name)},
                 {"RENAME2 of", named(FUSE_RENAME2, node, &rename2, sizeof rename2, name, "new")},
                 {"RENAME2 to", named(FUSE_RENAME2, node, &rename2, sizeof rename2, "inner", name)}};
    for (size_t at = 0; at < sizeof tried / sizeof *tried; at++) {
      char what[128];
      snprintf(what, sizeof what, "name: %s \"%s\"", tried[at].request, name);
      errors(what, tried[at].error);
    }
  }
  /* More than one name, and one without an end. */
  errors("name: LOOKUP with a NUL in it", fuse(FUSE_LOOKUP, node, "inner\0/../..", 13));
  errors("name: LOOKUP without a NUL", fuse(FUSE_LOOKUP, node, "inner", 5));
}

static int count_descriptors(void) {
  int count = 0;
  DIR *own = opendir("/proc/self/fd");
  while (own && readdir(own)) count++;
  closedir(own);
  return count;
}

/** Lists the directory by answers of that size, forgets what it learned, and counts what stays open. */
static void list(uint64_t node, uint32_t size) {
  const int before = count_descriptors();
  int names = 0, unknown = 0, failed = fuse(FUSE_OPENDIR, node, &(struct fuse_open_in){0}, sizeof(struct fuse_open_in));
  const uint64_t handle = ((struct fuse_open_out *)(memory + ANSWER_AT + 16))->fh;
  for (uint64_t offset = 0; !failed;) {
    struct fuse_read_in in = {.fh = handle, .offset = offset, .size = size};
    failed = fuse(FUSE_READDIRPLUS, node, &in, sizeof in);
    const uint32_t length = ((struct fuse_out_header *)(memory + ANSWER_AT))->len - 16;
    if (failed || length == 0) break;
    static uint8_t listed[LONGEST];
    memcpy(listed, memory + ANSWER_AT + 16, length);
    for (uint32_t at = 0; at < length; names++) {
      const struct fuse_direntplus *entry = (void *)(listed + at);
      offset = entry->dirent.off;
      at += FUSE_DIRENTPLUS_SIZE(entry);
      const struct fuse_forget_in once = {.nlookup = 1};
      if (entry->entry_out.nodeid == 0)
        unknown++;
      else
        fuse(FUSE_FORGET, entry->entry_out.nodeid, &once, sizeof once);
    }
  }
  fuse(FUSE_RELEASEDIR, node, &(struct fuse_release_in){.fh = handle}, sizeof(struct fuse_release_in));
  printf("READDIRPLUS by %u => %s %d names, %d without a node, %d more open\n", size,
         failed ? strerrorname_np(-failed) : "0", names, unknown, count_descriptors() - before);
}

int32_t krun_a3s_patched(void) { return 0; }
int32_t krun_set_log_level(uint32_t level) { return level > 5; }
int32_t krun_create_ctx(void) { return 7; }
int32_t krun_set_vm_config(uint32_t ctx, uint8_t vcpus, uint32_t mib) { return ctx + vcpus + mib ? 0 : -1; }
int32_t krun_set_kernel(uint32_t ctx, const char *path, uint32_t format, const char *initramfs, const char *cmdline) {
  if (ctx != 7 || !path || format != 1 || initramfs) return -EINVAL;
  return sscanf(cmdline, "%4095s %255s", canary, area) == 2 ? 0 : -EINVAL;
}
int32_t krun_disable_implicit_init(uint32_t ctx) { return ctx != 7; }
int32_t krun_disable_implicit_vsock(uint32_t ctx) { return ctx != 7; }
int32_t krun_set_console_output_fd(uint32_t ctx, int fd) { return ctx == 7 && fd > 2 ? 0 : -EINVAL; }
int32_t krun_set_kvm_fd(int fd) { return fd > 2 ? 0 : -EINVAL; }
int32_t krun_add_net_tap_fd(uint32_t ctx, int fd, const uint8_t *mac) {
  return ctx == 7 && fd > 2 && mac ? 0 : -EINVAL;
}
int32_t krun_add_virtiofs4(uint32_t ctx, const char *tag, const char *path, uint64_t dax, bool ro, uint32_t semantics) {
  if (ctx != 7 || !tag || dax || ro || semantics) return -EINVAL;
  snprintf(share, sizeof share, "%s", path);
  return 0;
}
int32_t krun_add_vsock(uint32_t ctx, uint32_t tsi) { return ctx == 7 ? (int32_t)tsi : -EINVAL; }
int32_t krun_add_vsock_port2(uint32_t ctx, uint32_t port, const char *path, bool listen) {
  return ctx == 7 && port && path ? listen * 0 : -EINVAL;
}

int32_t krun_start_enter(uint32_t ctx) {
  setvbuf(stdout, 0, _IOLBF, 0);
  const int failed = ctx == 7 ? start() : -EINVAL;
  if (failed) return failed;
  const uint64_t node = attack(canary, area);
  try_names(node);
  list(node, 4096);
  list(node, 700);
  break_off();
  puts("end");
  exit(0);
}
