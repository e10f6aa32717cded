// What the modes of `peer` share.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/** Says what failed and why (errno), and ends with 1. */
_Noreturn int fail(const char *what);
/** Returns when all has been written; fails where that can't be. */
void write_all(int fd, const void *bytes, size_t count);
/** Fails unless as many bytes come. */
void read_all(int fd, void *bytes, size_t count);
/** A socket of both families, bound to the port. */
int listener(int type, int port);
/** Fills `to`; answers its length. */
socklen_t address_of(const char *address, int port, struct sockaddr_storage *to);
/** With limits of 10 s for each call on it. */
int connected(int type, const char *address, int port);
/** Of CLOCK_MONOTONIC. */
uint64_t now_us(void);
void allow_many_files(void);

_Noreturn void serve_many(int port);
int ask_many(const char *address, int port, int count);
/** Protocol 132 over raw sockets: INIT is answered by INIT ACK (RFC 9260). Never returns. */
_Noreturn void serve_sctp(int port);
int ask_sctp(const char *address, int port);
/** 0 where the kernel has SCTP sockets of its own. */
int has_sctp(void);
_Noreturn void serve_measure(int port);
int measure(const char *kind, const char *address, int port, int amount);
/** Answers to datagrams for a group, and asks one (RFC 1112, RFC 2710). */
_Noreturn void serve_group(const char *group, int port, const char *link);
int ask_group(const char *group, int port, const char *link);
