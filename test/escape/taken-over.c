// What somebody does who has taken over virtiofsd, in its place in the jail: first as virtiofsd does (it keeps its own
// descriptors' directory, and makes the share its root), then all that it can think of. One line for each: "what =>
// answer".
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void told(const char* what, const char* of, int answer) {
  printf("%s%s%s => %s\n", what, *of ? " " : "", of, answer < 0 ? strerrorname_np(errno) : "done");
}

static void list(int at, const char* path) {
  int fd = openat(at, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return told("list", path, -1);
  DIR* directory = fdopendir(fd);
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      printf("list %s => %s\n", path, entry->d_name);
  closedir(directory);
}

static void of_proc(int descriptors) {
  const char* const written[] = {"../../sys/kernel/core_pattern",
                                 "../../sys/kernel/poweroff_cmd",
                                 "../../sys/vm/drop_caches",
                                 "../../sys/net/ipv4/ip_forward",
                                 "../../sysrq-trigger",
                                 "../mem",
                                 "../../1/mem",
                                 "../oom_score_adj"};
  for (unsigned i = 0; i < sizeof written / sizeof *written; i++)
    told("write", written[i], openat(descriptors, written[i], O_WRONLY));
  const char* const read[] = {"../environ",  "../maps",         "../status", "../root/etc/shadow",
                              "../../kcore", "../../1/environ", "../../irq", "../../keys"};
  for (unsigned i = 0; i < sizeof read / sizeof *read; i++)
    told("read", read[i], openat(descriptors, read[i], O_RDONLY));
  const char* const above[] = {".", "..", "../..", "../../..", "../../../..", "../../../../../../.."};
  for (unsigned i = 0; i < sizeof above / sizeof *above; i++) list(descriptors, above[i]);
}

static const char* in(const char* area, const char* name) {
  static char path[4096];
  snprintf(path, sizeof path, "/v/%s/%s", area, name);
  return path;
}

/** `own` is mapped, `other` can't be. */
static void of_files(int descriptors, const char* own, const char* other) {
  told("make a disk's node", "", mknodat(AT_FDCWD, in(own, "disk"), S_IFBLK | 0600, 8 << 8));
  told("make a node of memory", "", mknodat(AT_FDCWD, in(own, "mem"), S_IFCHR | 0600, 1 << 8 | 1));
  told("make a FIFO", "", mknodat(AT_FDCWD, in(own, "fifo"), S_IFIFO | 0600, 0));
  told("read root's file of a mapped volume", "", open(in(own, "roots"), O_RDONLY));
  told("read root's file of another volume", "", open(in(other, "roots"), O_RDONLY));
  told("write what root alone writes there", "", open(in(other, "public"), O_WRONLY));
  told("chown it", "", chown(in(other, "public"), 0, 0));
  told("write into the jail", "", openat(descriptors, "../../../new", O_WRONLY | O_CREAT, 0600));
  told("write at the top of the share", "", open("/new", O_WRONLY | O_CREAT, 0600));
  struct {
    struct file_handle head;
    unsigned char bytes[8];
  } handle = {{8, 1}, {2}};
  told("open by handle", "", syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY));
}

static void of_kernel(void) {
  told("mount", "", mount("none", "/", "tmpfs", 0, NULL));
  told("mount proc", "", mount("none", "/", "proc", 0, NULL));
  told("unshare mounts", "", unshare(CLONE_NEWNS));
  told("unshare network", "", unshare(CLONE_NEWNET));
  told("host name", "", sethostname("x", 1));
  int started = 0;
  pid_t all[64];
  while (started < 64 && (all[started] = fork()) >= 0)
    if (all[started++] == 0) pause();
  printf("fork => %s\n", started < 64 ? "bounded" : "not bounded");
  for (int i = 0; i < started; i++) {
    kill(all[i], SIGKILL);
    waitpid(all[i], NULL, 0);
  }
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  int descriptors = open("/proc/self/fd", O_PATH);
  printf("descriptors => %d\n", descriptors);
  list(AT_FDCWD, "/");
  if (chroot("/share") != 0 || chdir("/") != 0) return 1;
  of_proc(descriptors);
  of_files(descriptors, arguments[1], arguments[2]);
  of_kernel();
  printf("end => done\n");
  for (char byte; read(0, &byte, 1) > 0;) continue;
  return 0;
}
