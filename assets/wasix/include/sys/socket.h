/* wasi-libc declares what WASI preview 1 has; the rest is in socket.c. */
#pragma once
#include_next <sys/socket.h>
#ifndef SOMAXCONN
#define SOMAXCONN 128
#endif
#ifndef SO_REUSEADDR
#define SO_REUSEADDR 2
#define SO_ERROR 4
#define SO_SNDBUF 7
#define SO_RCVBUF 8
#define SO_KEEPALIVE 9
#endif
int			socket(int, int, int);
int			bind(int, const struct sockaddr *, socklen_t);
int			listen(int, int);
int			connect(int, const struct sockaddr *, socklen_t);
int			setsockopt(int, int, int, const void *, socklen_t);
int			getsockname(int, struct sockaddr *, socklen_t *);
int			getpeername(int, struct sockaddr *, socklen_t *);
int			socketpair(int, int, int, int[2]);
ssize_t		sendto(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
ssize_t		recvfrom(int, void *, size_t, int, struct sockaddr *, socklen_t *);
