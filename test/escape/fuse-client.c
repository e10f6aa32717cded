/* The requests of a guest whose kernel lies, see fuse-client.h. */
#define _GNU_SOURCE
#include "fuse-client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t unique;

int fuse(uint32_t opcode, uint64_t node, const void *body, size_t length) {
  struct fuse_in_header in = {
      .len = sizeof in + (uint32_t)length, .opcode = opcode, .unique = ++unique, .nodeid = node};
  memcpy(memory + REQUEST_AT, &in, sizeof in);
  if (length) memcpy(memory + REQUEST_AT + sizeof in, body, length);
  memset(memory + ANSWER_AT, 0, 4096);
  int failed = chain(in.len, LONGEST, ANSWER_AT);
  if (failed) return failed;
  return ((struct fuse_out_header *)(memory + ANSWER_AT))->error;
}

static struct fuse_entry_out *entry(void) { return (void *)(memory + ANSWER_AT + sizeof(struct fuse_out_header)); }

uint64_t show(const char *what, int error) {
  if (error) {
    printf("%s => %s\n", what, strerrorname_np(-error));
    return 0;
  }
  printf("%s => 0 ino=%llu mode=%o\n", what, (unsigned long long)entry()->attr.ino, entry()->attr.mode);
  return entry()->nodeid;
}

static uint64_t lookup(uint64_t node, const char *name) {
  char what[300];
  snprintf(what, sizeof what, "LOOKUP %s", name);
  return show(what, fuse(FUSE_LOOKUP, node, name, strlen(name) + 1));
}

int named(uint32_t opcode, uint64_t node, const void *fixed, size_t size, const char *one, const char *two) {
  char body[1024];
  memcpy(body, fixed, size);
  size_t at = size;
  for (const char *name = one; name; name = name == one ? two : 0) {
    memcpy(body + at, name, strlen(name) + 1);
    at += strlen(name) + 1;
  }
  return fuse(opcode, node, body, at);
}

void errors(const char *what, int error) { printf("%s => %s\n", what, error ? strerrorname_np(-error) : "0"); }

uint64_t attack(const char *canary, const char *area_path) {
  struct fuse_init_in init = {FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION, 65536, 0, 0, {0}};
  errors("INIT", fuse(FUSE_INIT, 0, &init, sizeof init));

  const uint64_t root = FUSE_ROOT_ID;
  lookup(root, "inside");
  lookup(root, "c");
  char top[256];
  const char *slash = strchr(area_path, '/');
  if (!slash) return 0;
  snprintf(top, sizeof top, "%.*s", (int)(slash - area_path), area_path);
  uint64_t open_directory = lookup(root, top);
  const char *names[] = {"..", ".", "../outside", "c/../../outside", "/etc/passwd", "c/..", canary, ""};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) lookup(root, names[i]);
  uint64_t up = lookup(open_directory, "..");
  if (up) lookup(up, "..");
  uint64_t area = lookup(open_directory, slash + 1);
  errors("SYMLINK to the canary", named(FUSE_SYMLINK, area, "", 0, "link", canary));
  uint64_t link = lookup(area, "link");
  lookup(link, "x");
  struct fuse_open_in open_in = {.flags = O_RDONLY};
  errors("OPEN of the link", fuse(FUSE_OPEN, link, &open_in, sizeof open_in));
  errors("SETATTR through the link", fuse(FUSE_SETATTR, link, &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 0},
                                          sizeof(struct fuse_setattr_in)));

  struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0644};
  errors("CREATE ../outside", named(FUSE_CREATE, root, &create, sizeof create, "../outside", 0));
  errors("CREATE area/../../../outside", named(FUSE_CREATE, root, &create, sizeof create, "v/../../../outside", 0));
  errors("CREATE through the link", named(FUSE_CREATE, area, &create, sizeof create, "link", 0));
  errors("CREATE at the top", named(FUSE_CREATE, root, &create, sizeof create, "new", 0));
  struct fuse_mkdir_in make = {.mode = 0755};
  errors("MKDIR ../outside", named(FUSE_MKDIR, area, &make, sizeof make, "../outside", 0));
  errors("UNLINK ../../../canary", named(FUSE_UNLINK, area, "", 0, "../../../canary", 0));
  uint64_t newdir = root;
  errors("RENAME into ../..", named(FUSE_RENAME, area, &newdir, sizeof newdir, "link", "../../outside"));
  uint64_t old = link;
  errors("LINK as ../../outside", named(FUSE_LINK, area, &old, sizeof old, "../../outside", 0));
  struct fuse_mknod_in node = {.mode = S_IFBLK | 0666, .rdev = 8 << 8};
  errors("MKNOD block device", named(FUSE_MKNOD, area, &node, sizeof node, "disk", 0));
  uint64_t disk = lookup(area, "disk");
  errors("OPEN of the block device", fuse(FUSE_OPEN, disk, &open_in, sizeof open_in));

  uint64_t wild[] = {0, 2, 3, 1000, 1ull << 32, ~0ull};
  for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
    uint64_t id = wild[i] == 2 || wild[i] == 3 ? wild[i] + 5000 : wild[i];
    errors("GETATTR of a number never given", fuse(FUSE_GETATTR, id, &(struct fuse_getattr_in){0}, 16));
    errors("OPEN of a number never given", fuse(FUSE_OPEN, id, &open_in, sizeof open_in));
  }
  errors("READ of a handle never given",
         fuse(FUSE_READ, root, &(struct fuse_read_in){.fh = 7777, .size = 4096}, sizeof(struct fuse_read_in)));
  errors("an operation that there is not", fuse(4000, root, 0, 0));
  return area;
}

void break_off(void) {
  struct fuse_in_header lying = {.len = 0xffffffff, .opcode = FUSE_LOOKUP, .unique = ++unique, .nodeid = FUSE_ROOT_ID};
  memcpy(memory + REQUEST_AT, &lying, sizeof lying);
  errors("a length that lies", chain(sizeof lying, LONGEST, ANSWER_AT));
  errors("half a header", chain(7, LONGEST, ANSWER_AT));
  char endless[8192];
  memset(endless, 'x', sizeof endless);
  errors("LOOKUP without an end", fuse(FUSE_LOOKUP, FUSE_ROOT_ID, endless, sizeof endless));
  memcpy(memory + REQUEST_AT, &lying, sizeof lying);
  errors("an answer outside of the memory", chain(sizeof lying, LONGEST, 1ull << 40));
}
