/**
 * What a kernel asks a FUSE server for in other words than it would without what was agreed on at the start: an attribute, an
 * ACL (FUSE_SETXATTR_EXT), and a file in a directory of one of the caller's further groups (FUSE_CREATE_SUPP_GROUP).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/** POSIX ACL as an attribute has it: version 2, then tag, permissions, id. */
struct acl {
  uint32_t version;
  struct { uint16_t tag, permissions; uint32_t id; } entries[3];
} __attribute__((packed));

int main(void) {
  umask(0);
  char value[64] = {0};
  const uint32_t none = UINT32_MAX;
  const struct acl acl = {2, {{1, 6, none}, {4, 4, none}, {32, 4, none}}};
  close(open("/attributes", O_CREAT | O_WRONLY, 0644));
  if (setxattr("/attributes", "user.one", "one", 3, 0) != 0) perror("setxattr");
  getxattr("/attributes", "user.one", value, sizeof value);
  printf("user: %s\n", value);
  if (setxattr("/attributes", "system.posix_acl_access", &acl, sizeof acl, 0) != 0) perror("setxattr");
  printf("acl: %zu bytes\n", sizeof acl);
  mkdir("/shared", 0770);
  chown("/shared", 0, 5000);
  const gid_t group = 5000;
  if (setgroups(1, &group) != 0 || setgid(1000) != 0 || setuid(1000) != 0) perror("become another");
  printf("shared: %d\n", open("/shared/file", O_CREAT | O_WRONLY, 0644) < 0);
  return 0;
}
