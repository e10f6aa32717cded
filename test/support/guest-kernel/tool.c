/*
 * What programs ask of a node's kernel by system calls, one for each verb; prints a line with what came of it.
 *
 * tool landlock DIRECTORY   shuts itself in DIRECTORY, and opens a file in it and one that is not
 * tool acl FILE UID         lets user UID read FILE, which its mode forbids, by an ACL
 * tool read FILE UID        opens FILE as that user, of a group of its own
 * tool mptcp                a listener and a connection of MPTCP, on the loopback
 * tool mqueue               a POSIX message queue, there and back
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}

static const char *opened(const char *path) { return open(path, O_RDONLY) < 0 ? strerror(errno) : "opened"; }

static int landlock(const char *directory) {
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 0) return fail("landlock");
  struct landlock_ruleset_attr attributes = {.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE};
  int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  struct landlock_path_beneath_attr beneath = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
                                               .parent_fd = open(directory, O_PATH | O_DIRECTORY)};
  if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) return fail("rule");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail("no_new_privs");
  if (syscall(SYS_landlock_restrict_self, rules, 0) != 0) return fail("restrict");
  char inside[4096];
  snprintf(inside, sizeof inside, "%s/file", directory);
  const char *in = opened(inside);
  printf("inside: %s; ", in);
  printf("outside: %s\n", opened("/etc/passwd"));
  return 0;
}

/* linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id, all little-endian. */
static int acl(const char *path, uint32_t uid) {
  struct entry {
    uint16_t tag, permissions;
    uint32_t id;
  };
  struct {
    uint32_t version;
    struct entry entries[5];
  } list = {2,
            {{0x01, 6, UINT32_MAX},   /* owner */
             {0x02, 4, uid},          /* a named user */
             {0x04, 0, UINT32_MAX},   /* group */
             {0x10, 4, UINT32_MAX},   /* mask */
             {0x20, 0, UINT32_MAX}}}; /* others */
  if (setxattr(path, "system.posix_acl_access", &list, sizeof list, 0) != 0) return fail("acl");
  puts("acl: set");
  return 0;
}

static int read_as(const char *path, uid_t uid) {
  if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) return fail("become a user");
  printf("%u: %s\n", uid, opened(path));
  return 0;
}

static int mptcp(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (listener < 0) return fail("mptcp");
  if (bind(listener, (struct sockaddr *)&at, size) != 0 || listen(listener, 1) != 0) return fail("listen");
  if (getsockname(listener, (struct sockaddr *)&at, &size) != 0) return fail("name");
  int client = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (connect(client, (struct sockaddr *)&at, size) != 0) return fail("connect");
  int server = accept(listener, NULL, NULL);
  char got[3] = "";
  if (write(client, "ok", 2) != 2 || read(server, got, 2) != 2) return fail("bytes");
  printf("mptcp: %s\n", got);
  return 0;
}

static int message_queue(void) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
  mqd_t queue = mq_open("/a3s", O_RDWR | O_CREAT, 0600, &attributes);
  if (queue == (mqd_t)-1) return fail("mqueue");
  char got[9] = "";
  if (mq_send(queue, "ok", 2, 0) != 0 || mq_receive(queue, got, 8, NULL) != 2) return fail("message");
  printf("mqueue: %s\n", got);
  return mq_unlink("/a3s");
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  if (argc == 3 && !strcmp(verb, "landlock")) return landlock(argv[2]);
  if (argc == 4 && !strcmp(verb, "acl")) return acl(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
  if (argc == 4 && !strcmp(verb, "read")) return read_as(argv[2], (uid_t)strtoul(argv[3], NULL, 10));
  if (argc == 2 && !strcmp(verb, "mptcp")) return mptcp();
  if (argc == 2 && !strcmp(verb, "mqueue")) return message_queue();
  return 2;
}
