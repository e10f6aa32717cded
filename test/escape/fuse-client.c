/*
 * A guest that controls its virtio-fs queue, as seen by the file server: a vhost-user front end that sends FUSE
 * requests of its own making and prints what comes back, a line each: "NAME => ERRNO" or "NAME => 0 ino=N mode=OCTAL".
 *
 * use: fuse-client SOCKET CANARY AREA, a folder of the share ("v/NAME") that it may write to
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/vhost_types.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
#define ENTRIES 16u
#define MEMORY (4u << 20)
#define QUEUE 1 /* 0 is for what may not wait */
#define REQUEST_AT 0x100000
#define ANSWER_AT 0x200000
#define LONGEST 0x80000

static int server;
static int kick, call;
static uint8_t *memory;
static struct vring ring;
static uint64_t unique;

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

/* Puts one chain into the ring. Answers -ETIME when the server says nothing, -EPIPE when it has gone. */
static int chain(uint32_t length, uint32_t answer, uint64_t answer_at) {
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

/* One FUSE request. The answer's body is at ANSWER_AT + 16; returns its error. */
static int fuse(uint32_t opcode, uint64_t node, const void *body, size_t length) {
  struct fuse_in_header in = {
      .len = sizeof in + (uint32_t)length, .opcode = opcode, .unique = ++unique, .nodeid = node};
  memcpy(memory + REQUEST_AT, &in, sizeof in);
  if (length) memcpy(memory + REQUEST_AT + sizeof in, body, length);
  memset(memory + ANSWER_AT, 0, 4096);
  int failed = chain(in.len, LONGEST, ANSWER_AT);
  if (failed) return failed;
  return ((struct fuse_out_header *)(memory + ANSWER_AT))->error;
}

static struct fuse_entry_out *entry(void) { return (void *)(memory + ANSWER_AT + sizeof(struct fuse_out_header)); }

static uint64_t show(const char *what, int error) {
  if (error) {
    printf("%s => %s\n", what, strerrorname_np(-error));
    return 0;
  }
  printf("%s => 0 ino=%llu mode=%o\n", what, (unsigned long long)entry()->attr.ino, entry()->attr.mode);
  return entry()->nodeid;
}

static uint64_t lookup(uint64_t node, const char *name) {
  char what[300];
  snprintf(what, sizeof what, "LOOKUP %s", name);
  return show(what, fuse(FUSE_LOOKUP, node, name, strlen(name) + 1));
}

/* A fixed part and one or two names. */
static int named(uint32_t opcode, uint64_t node, const void *fixed, size_t size, const char *one, const char *two) {
  char body[1024];
  memcpy(body, fixed, size);
  size_t at = size;
  for (const char *name = one; name; name = name == one ? two : 0) {
    memcpy(body + at, name, strlen(name) + 1);
    at += strlen(name) + 1;
  }
  return fuse(opcode, node, body, at);
}

static void errors(const char *what, int error) { printf("%s => %s\n", what, error ? strerrorname_np(-error) : "0"); }

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  setvbuf(stdout, 0, _IOLBF, 0);
  const char *canary = argv[2];
  start(argv[1]);
  struct fuse_init_in init = {FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION, 65536, 0, 0, {0}};
  errors("INIT", fuse(FUSE_INIT, 0, &init, sizeof init));

  const uint64_t root = FUSE_ROOT_ID;
  lookup(root, "inside");
  lookup(root, "c");
  char *slash = strchr(argv[3], '/');
  if (!slash) return 2;
  *slash = 0;
  uint64_t open_folder = lookup(root, argv[3]);
  const char *names[] = {"..", ".", "../outside", "c/../../outside", "/etc/passwd", "c/..", canary, ""};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) lookup(root, names[i]);
  uint64_t up = lookup(open_folder, "..");
  if (up) lookup(up, "..");
  uint64_t area = lookup(open_folder, slash + 1);
  errors("SYMLINK to the canary", named(FUSE_SYMLINK, area, "", 0, "link", canary));
  uint64_t link = lookup(area, "link");
  lookup(link, "x");
  struct fuse_open_in open_in = {.flags = O_RDONLY};
  errors("OPEN of the link", fuse(FUSE_OPEN, link, &open_in, sizeof open_in));
  errors("SETATTR through the link", fuse(FUSE_SETATTR, link, &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 0},
                                          sizeof(struct fuse_setattr_in)));

  struct fuse_create_in create = {.flags = O_RDWR | O_CREAT, .mode = 0644};
  errors("CREATE ../outside", named(FUSE_CREATE, root, &create, sizeof create, "../outside", 0));
  errors("CREATE area/../../../outside", named(FUSE_CREATE, root, &create, sizeof create, "v/../../../outside", 0));
  errors("CREATE through the link", named(FUSE_CREATE, area, &create, sizeof create, "link", 0));
  errors("CREATE at the top", named(FUSE_CREATE, root, &create, sizeof create, "new", 0));
  struct fuse_mkdir_in make = {.mode = 0755};
  errors("MKDIR ../outside", named(FUSE_MKDIR, area, &make, sizeof make, "../outside", 0));
  errors("UNLINK ../../../canary", named(FUSE_UNLINK, area, "", 0, "../../../canary", 0));
  uint64_t newdir = root;
  errors("RENAME into ../..", named(FUSE_RENAME, area, &newdir, sizeof newdir, "link", "../../outside"));
  uint64_t old = link;
  errors("LINK as ../../outside", named(FUSE_LINK, area, &old, sizeof old, "../../outside", 0));
  struct fuse_mknod_in node = {.mode = S_IFBLK | 0666, .rdev = 8 << 8};
  errors("MKNOD block device", named(FUSE_MKNOD, area, &node, sizeof node, "disk", 0));
  uint64_t disk = lookup(area, "disk");
  errors("OPEN of the block device", fuse(FUSE_OPEN, disk, &open_in, sizeof open_in));

  uint64_t wild[] = {0, 2, 3, 1000, 1ull << 32, ~0ull};
  for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
    uint64_t id = wild[i] == 2 || wild[i] == 3 ? wild[i] + 5000 : wild[i];
    errors("GETATTR of a number never given", fuse(FUSE_GETATTR, id, &(struct fuse_getattr_in){0}, 16));
    errors("OPEN of a number never given", fuse(FUSE_OPEN, id, &open_in, sizeof open_in));
  }
  errors("READ of a handle never given",
         fuse(FUSE_READ, root, &(struct fuse_read_in){.fh = 7777, .size = 4096}, sizeof(struct fuse_read_in)));
  errors("an operation that there is not", fuse(4000, root, 0, 0));

  /* What is no request at all: the server may end, and then the Box does. */
  struct fuse_in_header lying = {.len = 0xffffffff, .opcode = FUSE_LOOKUP, .unique = ++unique, .nodeid = root};
  memcpy(memory + REQUEST_AT, &lying, sizeof lying);
  errors("a length that lies", chain(sizeof lying, LONGEST, ANSWER_AT));
  errors("an answer outside of the memory", chain(sizeof lying, LONGEST, 1ull << 40));
  errors("half a header", chain(7, LONGEST, ANSWER_AT));
  char endless[8192];
  memset(endless, 'x', sizeof endless);
  errors("LOOKUP without an end", fuse(FUSE_LOOKUP, root, endless, sizeof endless));
  puts("end");
  return 0;
}
