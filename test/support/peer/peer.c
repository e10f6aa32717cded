// Both ends of a connection, in one static program for images and hosts that have nothing of the kind.
//
//   peer serve PORT NAME         echoes, TCP and UDP, IPv4 and IPv6; TCP says "NAME from ADDRESS" first
//   peer tcp ADDRESS PORT BYTES  sends so many bytes, wants them back, prints what it was told first
//   peer udp ADDRESS PORT BYTES  the same with one datagram; prints "echoed"
//   peer serve-many PORT, peer many ADDRESS PORT COUNT         connections that are held at once (many.c)
//   peer serve-sctp PORT, peer sctp ADDRESS PORT, peer has-sctp    SCTP's first exchange (sctp.c)
//   peer serve-group GROUP PORT LINK, peer group GROUP PORT LINK   multicast (group.c)
//   peer serve-measure PORT, peer measure KIND ADDRESS PORT AMOUNT    throughput and latency (measure.c)
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 17], back[1 << 17];

_Noreturn int fail(const char *what) {
  fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
  exit(1);
}

void write_all(int fd, const void *from, size_t count) {
  const char *bytes = from;
  while (count > 0) {
    ssize_t wrote = write(fd, bytes, count);
    if (wrote <= 0) fail("write");
    bytes += wrote;
    count -= wrote;
  }
}

void read_all(int fd, void *to, size_t count) {
  char *bytes = to;
  while (count > 0) {
    ssize_t got = read(fd, bytes, count);
    if (got == 0) errno = ECONNRESET;
    if (got <= 0) fail("read");
    bytes += got;
    count -= got;
  }
}

int listener(int type, int port) {
  int fd = socket(AF_INET6, type, 0), off = 0, on = 1;
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (fd < 0) fail("socket");
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0) fail("bind");
  return fd;
}

static void greet(int fd, const struct sockaddr_in6 *from, const char *name) {
  char address[INET6_ADDRSTRLEN], line[256];
  inet_ntop(AF_INET6, &from->sin6_addr, address, sizeof address);
  const char *shown = strncmp(address, "::ffff:", 7) == 0 ? address + 7 : address;
  write_all(fd, line, snprintf(line, sizeof line, "%s from %s\n", name, shown));
}

static void serve_connection(int fd, const struct sockaddr_in6 *from, const char *name) {
  if (fork() != 0) return;
  greet(fd, from, name);
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;) write_all(fd, buffer, got);
  _exit(0);
}

static _Noreturn void serve(int port, const char *name) {
  struct pollfd both[2] = {{listener(SOCK_STREAM, port), POLLIN, 0}, {listener(SOCK_DGRAM, port), POLLIN, 0}};
  signal(SIGCHLD, SIG_IGN);
  if (listen(both[0].fd, 512) != 0) fail("listen");
  printf("serving\n");
  fflush(stdout);
  for (;;) {
    struct sockaddr_in6 from;
    socklen_t length = sizeof from;
    if (poll(both, 2, -1) < 0) fail("poll");
    if (both[0].revents != 0) {
      int fd = accept(both[0].fd, (struct sockaddr *)&from, &length);
      if (fd < 0) continue;
      serve_connection(fd, &from, name);
      close(fd);
    } else {
      ssize_t got = recvfrom(both[1].fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
      if (got >= 0) sendto(both[1].fd, buffer, got, 0, (struct sockaddr *)&from, length);
    }
  }
}

socklen_t address_of(const char *address, int port, struct sockaddr_storage *to) {
  struct sockaddr_in *four = (struct sockaddr_in *)to;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
  memset(to, 0, sizeof *to);
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    return sizeof *four;
  }
  if (inet_pton(AF_INET6, address, &six->sin6_addr) != 1) fail("address");
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(port);
  return sizeof *six;
}

int connected(int type, const char *address, int port) {
  struct sockaddr_storage to;
  struct timeval limit = {.tv_sec = 10};
  socklen_t length = address_of(address, port, &to);
  int fd = socket(to.ss_family, type, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&to, length) != 0) fail("connect");
  return fd;
}

uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void allow_many_files(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static void compare(size_t got, size_t count) {
  if (got == count && memcmp(buffer, back, count) == 0) return;
  fprintf(stderr, "peer: of %zu bytes %zu came back, or others\n", count, got);
  exit(1);
}

static int tcp(int fd, size_t count) {
  char line[256];
  size_t length = 0, got = 0;
  while (length < sizeof line - 1 && read(fd, line + length, 1) == 1 && line[length++] != '\n') continue;
  line[length] = 0;
  if (length == 0) fail("no greeting");
  write_all(fd, buffer, count);
  shutdown(fd, SHUT_WR);
  for (ssize_t more; got < sizeof back && (more = read(fd, back + got, sizeof back - got)) > 0;) got += more;
  compare(got, count);
  printf("%s", line);
  return 0;
}

/* A datagram may be lost: three tries. */
static int udp(int fd, size_t count) {
  struct timeval limit = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  for (int turn = 0; turn < 3; turn++) {
    if (send(fd, buffer, count, 0) != (ssize_t)count) fail("send");
    ssize_t got = recv(fd, back, sizeof back, 0);
    if (got < 0) continue;
    compare(got, count);
    printf("echoed\n");
    return 0;
  }
  return fail("no answer");
}

static int is(const char *word, const char *wanted) { return strcmp(word, wanted) == 0; }

static int other(int argc, char **argv) {
  const char *mode = argv[1];
  if (argc == 2 && is(mode, "has-sctp")) return has_sctp();
  if (argc == 3 && is(mode, "serve-many")) serve_many(atoi(argv[2]));
  if (argc == 3 && is(mode, "serve-sctp")) serve_sctp(atoi(argv[2]));
  if (argc == 3 && is(mode, "serve-measure")) serve_measure(atoi(argv[2]));
  if (argc == 4 && is(mode, "sctp")) return ask_sctp(argv[2], atoi(argv[3]));
  if (argc == 5 && is(mode, "many")) return ask_many(argv[2], atoi(argv[3]), atoi(argv[4]));
  if (argc == 5 && is(mode, "serve-group")) serve_group(argv[2], atoi(argv[3]), argv[4]);
  if (argc == 5 && is(mode, "group")) return ask_group(argv[2], atoi(argv[3]), argv[4]);
  if (argc == 6 && is(mode, "measure")) return measure(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]));
  fprintf(stderr, "peer: usage: see peer.c\n");
  return 2;
}

int main(int argc, char **argv) {
  for (size_t at = 0; at < sizeof buffer; at++) buffer[at] = (char)(at * 31 + at / 251);
  if (argc < 2) return 2;
  if (argc == 4 && is(argv[1], "serve")) serve(atoi(argv[2]), argv[3]);
  if (argc != 5 || (!is(argv[1], "tcp") && !is(argv[1], "udp"))) return other(argc, argv);
  size_t count = (size_t)atol(argv[4]);
  if (count > sizeof buffer) return 2;
  if (is(argv[1], "tcp")) return tcp(connected(SOCK_STREAM, argv[2], atoi(argv[3])), count);
  return udp(connected(SOCK_DGRAM, argv[2], atoi(argv[3])), count);
}
