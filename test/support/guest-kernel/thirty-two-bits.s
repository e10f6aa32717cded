# A program of 32 bits, by the calls of such: write(1, …) and exit(0). Built without a C library, which the tests' machine
# has for 64 bits alone.
  .globl _start
_start:
  movl $4, %eax
  movl $1, %ebx
  movl $words, %ecx
  movl $end - words, %edx
  int $0x80
  movl $1, %eax
  xorl %ebx, %ebx
  int $0x80
words:
  .ascii "32 bits\n"
end:
  .section .note.GNU-stack, "", @progbits
