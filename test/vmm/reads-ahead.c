/*
 * reads-ahead FILE: has a file read ahead, of which nothing is open any more but a mapping, and ends at once. Its file
 * is closed by the kernel then, while the file server still has the reads.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **words) {
  struct stat facts;
  int file = count == 2 ? open(words[1], O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0 || fstat(file, &facts) != 0) return 1;
  void *mapped = mmap(0, facts.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (mapped == MAP_FAILED || close(file) != 0) return 2;
  return madvise(mapped, facts.st_size, MADV_WILLNEED) == 0 ? 0 : 3;
}
