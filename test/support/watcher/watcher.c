// Says what inotify tells about a directory, a line each: "create NAME". Until it is killed.
//
//   watcher DIRECTORY
#include <stdint.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

static const struct {
  uint32_t mask;
  const char *word;
} words[] = {
    {IN_CREATE, "create"},     {IN_MODIFY, "modify"},       {IN_ATTRIB, "attributes"},   {IN_DELETE, "delete"},
    {IN_MOVED_TO, "to"},       {IN_MOVED_FROM, "from"},     {IN_CLOSE_WRITE, "written"}, {IN_DELETE_SELF, "gone"},
    {IN_UNMOUNT, "unmounted"}, {IN_Q_OVERFLOW, "overflow"},
};

int main(int count, char **arguments) {
  static char buffer[1 << 16] __attribute__((aligned(__alignof__(struct inotify_event))));
  uint32_t all = 0;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) all |= words[i].mask;
  int fd = inotify_init1(IN_CLOEXEC);
  if (count != 2 || fd < 0 || inotify_add_watch(fd, arguments[1], all & ~(IN_UNMOUNT | IN_Q_OVERFLOW)) < 0) {
    perror("watcher");
    return 1;
  }
  printf("watching\n");
  fflush(stdout);
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return 1;
    for (char *at = buffer; at < buffer + got;) {
      const struct inotify_event *event = (const struct inotify_event *)at;
      for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (event->mask & words[i].mask) printf("%s %s\n", words[i].word, event->len > 0 ? event->name : ".");
      }
      at += sizeof *event + event->len;
    }
    fflush(stdout);
  }
}
