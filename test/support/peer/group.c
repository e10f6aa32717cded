// Multicast: a member of a group answers each datagram; who asks takes the answer from whatever address it comes.
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

enum { kTries = 3 };

static void join(int fd, const struct sockaddr_storage *group, socklen_t length, const char *link) {
  struct group_req request = {.gr_interface = if_nametoindex(link)};
  memcpy(&request.gr_group, group, length);
  int level = group->ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  if (setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) != 0) fail("join group");
}

_Noreturn void serve_group(const char *group, int port, const char *link) {
  char bytes[64];
  struct sockaddr_storage to, any;
  socklen_t length = address_of(group, port, &to);
  address_of(to.ss_family == AF_INET ? "0.0.0.0" : "::", port, &any);
  int fd = socket(to.ss_family, SOCK_DGRAM, 0), on = 1;
  if (to.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&any, length) != 0) fail("bind");
  join(fd, &to, length, link);
  printf("serving\n");
  fflush(stdout);
  for (;;) {
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size);
    if (got > 0) sendto(fd, bytes, got, 0, (struct sockaddr *)&from, size);
  }
}

int ask_group(const char *group, int port, const char *link) {
  char bytes[64];
  struct sockaddr_storage to;
  struct timeval limit = {.tv_sec = 5};
  socklen_t length = address_of(group, port, &to);
  int fd = socket(to.ss_family, SOCK_DGRAM, 0), index = (int)if_nametoindex(link);
  struct ip_mreqn four = {.imr_ifindex = index};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  int failed = to.ss_family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &four, sizeof four)
                                       : setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
  if (failed) fail("choose link");
  for (int turn = 0; turn < kTries; turn++) {
    if (sendto(fd, "group", 5, 0, (struct sockaddr *)&to, length) != 5) fail("send");
    if (recv(fd, bytes, sizeof bytes, 0) == 5 && memcmp(bytes, "group", 5) == 0) {
      printf("answered\n");
      return 0;
    }
  }
  errno = ETIMEDOUT;
  return fail("group");
}
