// Both ends of a connection, in one static program for images and hosts that have nothing of the kind.
//
//   peer serve PORT NAME         echoes, TCP and UDP, IPv4 and IPv6; TCP says "NAME from ADDRESS" first
//   peer tcp ADDRESS PORT BYTES  sends so many bytes, wants them back, prints what it was told first
//   peer udp ADDRESS PORT BYTES  the same with one datagram; prints "echoed"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 17], back[1 << 17];

static int fail(const char *what) {
  fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_all(int fd, const char *bytes, size_t count) {
  while (count > 0) {
    ssize_t wrote = write(fd, bytes, count);
    if (wrote <= 0) fail("write");
    bytes += wrote;
    count -= wrote;
  }
}

static int listener(int type, int port) {
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

static int connected(int type, const char *address, int port) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  struct timeval limit = {.tv_sec = 10};
  int is_four = inet_pton(AF_INET, address, &four.sin_addr);
  if (!is_four && !inet_pton(AF_INET6, address, &six.sin6_addr)) fail("address");
  int fd = socket(is_four ? AF_INET : AF_INET6, type, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const void *to = is_four ? (void *)&four : (void *)&six;
  if (connect(fd, to, is_four ? sizeof four : sizeof six) != 0) fail("connect");
  return fd;
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

int main(int argc, char **argv) {
  for (size_t at = 0; at < sizeof buffer; at++) buffer[at] = (char)(at * 31 + at / 251);
  if (argc == 4 && strcmp(argv[1], "serve") == 0) serve(atoi(argv[2]), argv[3]);
  size_t count = argc == 5 ? (size_t)atol(argv[4]) : sizeof buffer + 1;
  if (count > sizeof buffer) return 2;
  if (strcmp(argv[1], "tcp") == 0) return tcp(connected(SOCK_STREAM, argv[2], atoi(argv[3])), count);
  if (strcmp(argv[1], "udp") == 0) return udp(connected(SOCK_DGRAM, argv[2], atoi(argv[3])), count);
  return 2;
}
