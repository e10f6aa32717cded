// Connections that are all held at once: opened a few at a time, one byte there and back on each, then closed.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "peer.h"

enum { kAtOnce = 128, kEvents = 256, kLimitUs = 120000000 };

static void watch(int poll, int operation, int fd, uint32_t events, uint32_t number) {
  struct epoll_event event = {.events = events, .data.u64 = (uint64_t)number << 32 | (uint32_t)fd};
  if (epoll_ctl(poll, operation, fd, &event) != 0) fail("epoll_ctl");
}

static int descriptor(const struct epoll_event *event) { return (int)(uint32_t)event->data.u64; }

static void accept_all(int poll, int listening) {
  for (int fd; (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0;) watch(poll, EPOLL_CTL_ADD, fd, EPOLLIN, 0);
}

static void echo(int fd) {
  char bytes[64];
  ssize_t got = read(fd, bytes, sizeof bytes);
  if (got > 0 && write(fd, bytes, got) == got) return;
  if (got < 0 && errno == EAGAIN) return;
  close(fd);
}

_Noreturn void serve_many(int port) {
  struct epoll_event events[kEvents];
  int listening = listener(SOCK_STREAM | SOCK_NONBLOCK, port), poll = epoll_create1(0);
  allow_many_files();
  if (listen(listening, 4096) != 0) fail("listen");
  watch(poll, EPOLL_CTL_ADD, listening, EPOLLIN, 0);
  printf("serving\n");
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(poll, events, kEvents, -1);
    for (int at = 0; at < count; at++) {
      if (descriptor(&events[at]) == listening) {
        accept_all(poll, listening);
      } else {
        echo(descriptor(&events[at]));
      }
    }
  }
}

struct Round {
  int poll;
  int count;
  int *sockets;
  uint64_t end_us;
};

/** Waits; fails when the round's time is over. */
static int ready(const struct Round *round, struct epoll_event *events) {
  int count = epoll_wait(round->poll, events, kEvents, 1000);
  if (count < 0 && errno != EINTR) fail("epoll_wait");
  if (now_us() < round->end_us) return count;
  errno = ETIMEDOUT;
  fail("many");
}

static void open_one(struct Round *round, int number, const struct sockaddr_storage *to, socklen_t length) {
  int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  if (connect(fd, (const struct sockaddr *)to, length) != 0 && errno != EINPROGRESS) fail("connect");
  round->sockets[number] = fd;
  watch(round->poll, EPOLL_CTL_ADD, fd, EPOLLOUT, (uint32_t)number);
}

static void open_all(struct Round *round, const struct sockaddr_storage *to, socklen_t length) {
  struct epoll_event events[kEvents];
  for (int begun = 0, done = 0; done < round->count;) {
    while (begun < round->count && begun - done < kAtOnce) open_one(round, begun++, to, length);
    int count = ready(round, events);
    for (int at = 0; at < count; at++) {
      int fd = descriptor(&events[at]), number = 0;
      socklen_t size = sizeof number;
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size);
      if (number != 0) {
        errno = number;
        fprintf(stderr, "peer: connection %d of %d\n", done + 1, round->count);
        fail("connect");
      }
      watch(round->poll, EPOLL_CTL_MOD, fd, EPOLLIN, (uint32_t)(events[at].data.u64 >> 32));
      done++;
    }
  }
}

static void echo_all(struct Round *round) {
  struct epoll_event events[kEvents];
  for (int number = 0; number < round->count; number++) {
    char byte = (char)number;
    if (write(round->sockets[number], &byte, 1) != 1) fail("write");
  }
  for (int done = 0; done < round->count;) {
    int count = ready(round, events);
    for (int at = 0; at < count; at++, done++) {
      char byte = 0;
      errno = EBADMSG;
      if (read(descriptor(&events[at]), &byte, 1) != 1) fail("read");
      if (byte != (char)(events[at].data.u64 >> 32)) fail("another byte came back");
      watch(round->poll, EPOLL_CTL_MOD, descriptor(&events[at]), 0, 0);
    }
  }
}

int ask_many(const char *address, int port, int count) {
  struct sockaddr_storage to;
  socklen_t length = address_of(address, port, &to);
  struct Round round = {epoll_create1(0), count, calloc((size_t)count, sizeof(int)), now_us() + kLimitUs};
  allow_many_files();
  open_all(&round, &to, length);
  echo_all(&round);
  for (int number = 0; number < count; number++) close(round.sockets[number]);
  printf("%d echoed\n", count);
  return 0;
}
