/*
 * vmlinux-elf LIBKRUNFW OUT: takes the guest kernel out of libkrunfw and writes it as an ELF executable that both VMMs
 * boot: libkrun by its entry point (64-bit boot protocol), QEMU by its PVH note (Xen note 18, a 32-bit entry).
 *
 * The raw kernel in the library is the image as it lies in memory, from its load address on, so one PT_LOAD covers it.
 * Sources: libkrunfw.h (krunfw_get_kernel); elf(5); Xen docs/misc/pvh.pandoc and public/elfnote.h.
 */
#include <dlfcn.h>
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { imageOffset = 0x1000, xenElfnotePhys32Entry = 18 };

typedef char *(*GetKernel)(uint64_t *loadAddress, uint64_t *entryAddress, size_t *size);

struct PvhNote {
  Elf64_Nhdr header;
  char name[4];
  uint64_t entry;
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "vmlinux-elf: %s: %s\n", what, why);
  exit(1);
}

static void put(FILE *out, const void *bytes, size_t size) {
  if (fwrite(bytes, 1, size, out) != size) die("write", "disk full?");
}

int main(int argc, char **argv) {
  if (argc != 3) die("usage", "vmlinux-elf LIBKRUNFW OUT");
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) die(argv[1], dlerror());
  GetKernel getKernel = (GetKernel)dlsym(library, "krunfw_get_kernel");
  if (getKernel == NULL) die(argv[1], "no krunfw_get_kernel in it");

  uint64_t load = 0, entry = 0;
  size_t size = 0;
  const char *image = getKernel(&load, &entry, &size);
  if (image == NULL || size == 0 || entry < load || entry >= load + size) die(argv[1], "no kernel in it");

  /* The 32-bit PVH entry of this kernel is the first byte of its image. */
  struct PvhNote note = {{4, sizeof(uint64_t), xenElfnotePhys32Entry}, {'X', 'e', 'n', 0}, load};
  Elf64_Ehdr header = {0};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = entry;
  header.e_phoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  Elf64_Phdr segments[2] = {
      {PT_LOAD, PF_R | PF_W | PF_X, imageOffset, load, load, size, size, 0x1000},
      {PT_NOTE, PF_R, imageOffset + size, 0, 0, sizeof note, sizeof note, 4},
  };
  static const char zeros[imageOffset];

  FILE *out = fopen(argv[2], "wb");
  if (out == NULL) die(argv[2], "can't be written");
  put(out, &header, sizeof header);
  put(out, segments, sizeof segments);
  put(out, zeros, imageOffset - sizeof header - sizeof segments);
  put(out, image, size);
  put(out, &note, sizeof note);
  if (fclose(out) != 0) die(argv[2], "disk full?");
  return 0;
}
