/* How FUSE requests come to a file server: what a guest that controls its virtio-fs queue does. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define ENTRIES 16u
#define MEMORY (4u << 20)
#define REQUEST_AT 0x100000
#define ANSWER_AT 0x200000
#define LONGEST 0x80000

/* The guest's, with the rings at its beginning. */
extern uint8_t *memory;

/* Puts the request at REQUEST_AT into the ring. Answers -ETIME when the server says nothing, -EPIPE when it has gone,
 * -ENODATA when it gave the request back without an answer. */
int chain(uint32_t length, uint32_t answer, uint64_t answer_at);

/* One FUSE request. The answer's body is at ANSWER_AT + 16; returns its error. */
int fuse(uint32_t opcode, uint64_t node, const void *body, size_t length);

/* A fixed part and one or two names. */
int named(uint32_t opcode, uint64_t node, const void *fixed, size_t size, const char *one, const char *two);

/* Prints a line each: "NAME => ERRNO" or "NAME => 0 ino=N mode=OCTAL"; the first answers the number of the node. */
uint64_t show(const char *what, int error);
void errors(const char *what, int error);

/* What is tried on every file server. `area` is a directory of the share ("v/NAME") that it may write to; answers the
 * number of its node. */
uint64_t attack(const char *canary, const char *area);

/* What is no request at all: the server may end, and then the Box does. */
void break_off(void);
