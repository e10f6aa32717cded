#include "probe_guest.h"

// The guest's program. It is copied to guest::kCode; all its data addresses are absolute and those of probe_guest.h.
asm(R"(
  .pushsection .rodata
  .balign 16
  .code64
  .globl a3s_guest_begin, a3s_guest_trap, a3s_guest_end
  .macro done step
    movb $\step, %al
    outb %al, $0xf4
  .endm

a3s_guest_begin:
    lidt 0x8100
    done 1
    int3
    done 2
    xorl %eax, %eax
    xorl %edx, %edx
    movl $1, %ebx
    movl $2, %ecx
    lock cmpxchg16b 0x8040
    jne .
    done 3
    movl $0xc0000080, %ecx
    rdmsr
    wrmsr
    done 4
    movq %cr4, %rax
    orq $0x80, %rax
    movq %rax, %cr4
    done 5
    movq %cr3, %rax
    movq %rax, %cr3
    done 6
    swapgs
    swapgs
    done 7
    movl $0x18, %eax
    movl %eax, %ds
    done 8
    fxsave 0x9000
    done 9
    invlpg 0x8000
    done 10
    hlt

a3s_guest_trap:
    incl 0x8000
    iretq
a3s_guest_end:
  .popsection
)");
