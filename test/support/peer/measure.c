// Throughput and latency. AMOUNT is milliseconds, for "latency" how many round trips; prints figures, one a line:
//   up        TCP stream to the server: bytes that it got, microseconds
//   down      TCP stream from the server: bytes that came, microseconds
//   udp-up    datagrams of 1400 bytes to the server, as fast as they go: bytes that it got, microseconds, bytes sent
//   udp-down  the same from the server
//   latency   one byte there and back on one connection: microseconds of each
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

enum { kBlock = 128 * 1024, kDatagram = 1400, kQuietMs = 300 };

static char block[kBlock];

struct Order {
  char kind[12];
  uint32_t amount;
};

struct Tally {
  uint64_t bytes, microseconds;
};

/** Until the other end has closed. */
static struct Tally sink(int fd) {
  struct Tally tally = {0, 0};
  uint64_t start_us = 0;
  for (ssize_t got; (got = read(fd, block, kBlock)) > 0; tally.bytes += (uint64_t)got) {
    if (start_us == 0) start_us = now_us();
    tally.microseconds = now_us() - start_us;
  }
  return tally;
}

static uint64_t source(int fd, uint32_t ms) {
  uint64_t end_us = now_us() + ms * 1000ull, sent = 0;
  while (now_us() < end_us) {
    write_all(fd, block, kBlock);
    sent += kBlock;
  }
  shutdown(fd, SHUT_WR);
  return sent;
}

/** Until nothing has come for a while. */
static struct Tally sink_datagrams(int fd, uint32_t most_ms) {
  struct Tally tally = {0, 0};
  struct timeval quiet = {.tv_sec = 10};
  uint64_t start_us = 0, end_us = now_us() + (most_ms + 10000) * 1000ull;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
  quiet = (struct timeval){.tv_usec = kQuietMs * 1000};
  for (ssize_t got; now_us() < end_us && (got = recv(fd, block, kBlock, 0)) > 0; tally.bytes += (uint64_t)got) {
    if (start_us == 0) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet), start_us = now_us();
    tally.microseconds = now_us() - start_us;
  }
  return tally;
}

static uint64_t source_datagrams(int fd, uint32_t ms) {
  uint64_t end_us = now_us() + ms * 1000ull, sent = 0;
  while (now_us() < end_us) {
    if (send(fd, block, kDatagram, 0) == kDatagram) sent += kDatagram;
  }
  return sent;
}

/** A datagram socket of the server's for this connection, whose port is told over it. */
static int datagram_socket(int control) {
  struct sockaddr_in6 mine, theirs;
  socklen_t length = sizeof mine;
  int fd = listener(SOCK_DGRAM, 0);
  if (getsockname(fd, (struct sockaddr *)&mine, &length) != 0) fail("getsockname");
  write_all(control, &mine.sin6_port, sizeof mine.sin6_port);
  length = sizeof theirs;
  if (recvfrom(fd, block, 1, 0, (struct sockaddr *)&theirs, &length) < 0) fail("recvfrom");
  if (connect(fd, (struct sockaddr *)&theirs, length) != 0) fail("connect");
  write_all(control, "g", 1);
  return fd;
}

static int datagrams_to(int control, const char *address) {
  uint16_t port = 0;
  char go = 0;
  read_all(control, &port, sizeof port);
  int fd = connected(SOCK_DGRAM, address, ntohs(port));
  if (send(fd, "h", 1, 0) != 1) fail("send");
  read_all(control, &go, 1);
  return fd;
}

static void serve_one(int fd) {
  struct Order order;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  read_all(fd, &order, sizeof order);
  struct Tally tally = {0, 0};
  if (strcmp(order.kind, "up") == 0) tally = sink(fd);
  if (strcmp(order.kind, "udp-up") == 0) tally = sink_datagrams(datagram_socket(fd), order.amount);
  if (strcmp(order.kind, "udp-down") == 0) tally.bytes = source_datagrams(datagram_socket(fd), order.amount);
  if (strcmp(order.kind, "down") == 0) {
    source(fd, order.amount);
    return;
  }
  for (char byte; strcmp(order.kind, "latency") == 0 && read(fd, &byte, 1) == 1;) write_all(fd, &byte, 1);
  write_all(fd, &tally, sizeof tally);
}

_Noreturn void serve_measure(int port) {
  int listening = listener(SOCK_STREAM, port);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  if (listen(listening, 16) != 0) fail("listen");
  printf("serving\n");
  fflush(stdout);
  for (;;) {
    int fd = accept(listening, NULL, NULL);
    if (fd < 0) continue;
    if (fork() == 0) {
      serve_one(fd);
      _exit(0);
    }
    close(fd);
  }
}

static int latency(int fd, uint32_t count) {
  for (uint32_t at = 0; at < count; at++) {
    char byte = (char)at;
    uint64_t start_us = now_us();
    write_all(fd, &byte, 1);
    read_all(fd, &byte, 1);
    printf("%llu\n", (unsigned long long)(now_us() - start_us));
  }
  return 0;
}

int measure(const char *kind, const char *address, int port, int amount) {
  int fd = connected(SOCK_STREAM, address, port), on = 1;
  struct Order order = {.amount = (uint32_t)amount};
  struct Tally tally = {0, 0};
  uint64_t sent = 0;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  strncpy(order.kind, kind, sizeof order.kind - 1);
  write_all(fd, &order, sizeof order);
  if (strcmp(kind, "latency") == 0) return latency(fd, order.amount);
  if (strcmp(kind, "down") == 0) {
    tally = sink(fd);
  } else if (strcmp(kind, "udp-down") == 0) {
    struct Tally theirs;
    tally = sink_datagrams(datagrams_to(fd, address), order.amount);
    read_all(fd, &theirs, sizeof theirs);
    sent = theirs.bytes;
  } else {
    sent =
        strcmp(kind, "up") == 0 ? source(fd, order.amount) : source_datagrams(datagrams_to(fd, address), order.amount);
    read_all(fd, &tally, sizeof tally);
  }
  printf("%llu\n%llu\n%llu\n", (unsigned long long)tally.bytes, (unsigned long long)tally.microseconds,
         (unsigned long long)sent);
  return 0;
}
