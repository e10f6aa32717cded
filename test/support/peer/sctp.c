// SCTP's first exchange (RFC 9260, sections 3.3.2 and 5.1) over raw sockets, for kernels that have no SCTP of their
// own: what a network does with protocol 132, its ports and its checksum can be seen without.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "peer.h"

enum { kInit = 1, kInitAck = 2, kTries = 3, kClientPort = 5132 };

struct Packet {
  uint16_t from, to;
  uint32_t tag, checksum;
  uint8_t chunk, flags;
  uint16_t length;
  uint32_t initiate_tag, window;
  uint16_t outbound, inbound;
  uint32_t number;
} __attribute__((packed));

/** CRC32c, bit by bit: RFC 9260, appendix A. */
static uint32_t crc32c(const void *from, size_t count) {
  const uint8_t *bytes = from;
  uint32_t sum = ~0u;
  for (size_t at = 0; at < count; at++) {
    sum ^= bytes[at];
    for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (0x82f63b78u & -(sum & 1));
  }
  return ~sum;
}

static struct Packet packet(uint8_t chunk, int from, int to, uint32_t tag) {
  struct Packet one = {htons(from),     htons(to),    tag,      0,        chunk,   0, htons(sizeof one - 12),
                       htonl(0xa35b0f), htonl(65536), htons(1), htons(1), htonl(7)};
  one.checksum = htole32(crc32c(&one, sizeof one));
  return one;
}

static int raw(int family) {
  struct timeval limit = {.tv_sec = 5};
  int fd = socket(family, SOCK_RAW, IPPROTO_SCTP);
  if (fd < 0) fail("raw socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return fd;
}

/** One whose checksum is right; IPv4 brings its header along. False when none comes in time. */
static int receive(int fd, struct Packet *one, struct sockaddr_storage *from) {
  char bytes[256];
  socklen_t length = sizeof *from;
  ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)from, &length);
  size_t header = from->ss_family == AF_INET ? (size_t)(bytes[0] & 15) * 4 : 0;
  if (got < (ssize_t)(header + sizeof *one)) return 0;
  memcpy(one, bytes + header, sizeof *one);
  struct Packet plain = *one;
  plain.checksum = 0;
  return htole32(crc32c(&plain, sizeof plain)) == one->checksum;
}

static _Noreturn void answer(int family, int port) {
  int fd = raw(family);
  for (;;) {
    struct Packet asked;
    struct sockaddr_storage from = {0};
    if (!receive(fd, &asked, &from) || asked.chunk != kInit || ntohs(asked.to) != port) continue;
    struct Packet back = packet(kInitAck, port, ntohs(asked.from), asked.initiate_tag);
    if (family == AF_INET6) ((struct sockaddr_in6 *)&from)->sin6_port = 0;
    sendto(fd, &back, sizeof back, 0, (struct sockaddr *)&from, sizeof from);
  }
}

_Noreturn void serve_sctp(int port) {
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    answer(AF_INET6, port);
  }
  printf("serving\n");
  fflush(stdout);
  answer(AF_INET, port);
}

int ask_sctp(const char *address, int port) {
  struct sockaddr_storage to, from = {0};
  socklen_t length = address_of(address, 0, &to);
  int fd = raw(to.ss_family);
  for (int turn = 0; turn < kTries; turn++) {
    struct Packet back, asked = packet(kInit, kClientPort + turn, port, 0);
    if (sendto(fd, &asked, sizeof asked, 0, (struct sockaddr *)&to, length) != sizeof asked) fail("send");
    uint64_t end_us = now_us() + 5000000;
    while (now_us() < end_us) {
      if (!receive(fd, &back, &from) || back.chunk != kInitAck || back.to != asked.from) continue;
      if (ntohs(back.from) != port) fail("an answer from another port");
      printf("init ack\n");
      return 0;
    }
  }
  errno = ETIMEDOUT;
  return fail("sctp");
}

int has_sctp(void) {
  int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
  printf("%s\n", fd >= 0 ? "yes" : strerror(errno));
  return 0;
}
