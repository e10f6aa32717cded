/*
 * bin/a3s-box of a release: runs the program with the Node that lies beside it, by whatever name and link it is called. A
 * program and no script: an image has no shell.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Half of these threads are for containers' logs at most, whose disk may hang. */
static const char kThreads[] = "16";

/* The path without its last part; 0 where there is none. */
static int Parent(char* path) {
  char* slash = strrchr(path, '/');
  if (slash == NULL) return 0;
  *slash = '\0';
  return 1;
}

int main(int argc, char** argv) {
  char top[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", top, sizeof(top) - 1);
  if (length <= 0) {
    perror("a3s-box: /proc/self/exe");
    return 127;
  }
  top[length] = '\0';
  if (!Parent(top) || !Parent(top)) return 127;
  char node[PATH_MAX + 16];
  char script[PATH_MAX + 16];
  snprintf(node, sizeof(node), "%s/node/bin/node", top);
  snprintf(script, sizeof(script), "%s/dist/main.js", top);
  char** words = calloc((size_t)argc + 2, sizeof(char*));
  if (words == NULL) return 127;
  words[0] = node;
  words[1] = script;
  for (int at = 1; at < argc; ++at) words[at + 1] = argv[at];
  setenv("UV_THREADPOOL_SIZE", kThreads, 0);
  execv(node, words);
  fprintf(stderr, "a3s-box: ");
  perror(node);
  return 127;
}
