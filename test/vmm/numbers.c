/*
 * Prints a line for each number that a machine or a program has to itself: what the kernel hands out, what it gives each
 * program at its start, where it puts it in memory, and where a TCP connection begins to count.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static void hex(const char *name, const void *bytes, size_t length) {
  printf("%s ", name);
  for (size_t at = 0; at < length; at++) printf("%02x", ((const unsigned char *)bytes)[at]);
  printf("\n");
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int bound(int kind, int port) {
  int fd = socket(AF_INET, kind, 0);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name) != 0) fail("bind");
  return fd;
}

/* Of one and the same connection on each machine: the ports are given. */
static void sequence(void) {
  const int to = 7001, from = 7002;
  int raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
  if (raw < 0) fail("raw socket");
  int server = bound(SOCK_STREAM, to), client = bound(SOCK_STREAM, from);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(to), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (listen(server, 1) != 0 || connect(client, (struct sockaddr *)&name, sizeof name) != 0) fail("connect");
  for (;;) {
    unsigned char packet[256];
    if (recv(raw, packet, sizeof packet, 0) < (ssize_t)sizeof(struct iphdr)) fail("recv");
    const struct tcphdr *tcp = (const void *)(packet + 4 * ((const struct iphdr *)packet)->ihl);
    if (!tcp->syn) continue;
    hex(tcp->ack ? "tcp-server" : "tcp-client", &tcp->seq, sizeof tcp->seq);
    if (tcp->ack) return;
  }
}

int main(void) {
  unsigned char random[32];
  if (getrandom(random, sizeof random, 0) != sizeof random) fail("getrandom");
  hex("getrandom", random, sizeof random);
  hex("at-start", (const void *)getauxval(AT_RANDOM), 16);
  printf("stack %p\nmapped %p\n", (void *)random, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  sequence();
  return 0;
}
