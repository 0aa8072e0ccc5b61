/*
 * Sockets.  recv, send and shutdown are wasi-libc's; here is what it leaves out.  Only the cluster's own
 * local listeners exist so far (AF_UNIX names that never touch the host's file system).
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>
#include "pglite.h"

int
socket(int family, int type, int protocol)
{
	int32_t		fd = -1;

	if (pgl_result(k_sock_open(family, type, protocol, &fd)) < 0)
		return -1;
	return fd;
}

int
bind(int fd, const struct sockaddr *address, socklen_t len)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *) address;

	if (address->sa_family != AF_UNIX)
	{
		errno = EAFNOSUPPORT;
		return -1;
	}
	return pgl_result(k_sock_bind_local(fd, un->sun_path, strnlen(un->sun_path, sizeof(un->sun_path))));
}

int
listen(int fd, int backlog)
{
	return pgl_result(k_sock_listen(fd, backlog));
}

/* Local sockets have no address of their own. */
static void
put_local_address(struct sockaddr *address, socklen_t *len)
{
	if (!address || !len || *len < sizeof(sa_family_t))
		return;
	address->sa_family = AF_UNIX;
	*len = sizeof(sa_family_t);
}

int
accept(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
	__wasi_fd_t peer;

	if (pgl_result(__wasi_sock_accept(fd, 0, &peer)) < 0)
		return -1;
	put_local_address(address, len);
	return peer;
}

int
getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	put_local_address(address, len);
	return 0;
}

int
getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
	put_local_address(address, len);
	return 0;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	errno = EAFNOSUPPORT;
	return -1;
}

/* Datagrams: only RADIUS authentication sends any. */
ssize_t
sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *address, socklen_t address_len)
{
	errno = EAFNOSUPPORT;
	return -1;
}

ssize_t
recvfrom(int fd, void *restrict data, size_t len, int flags, struct sockaddr *restrict address,
		 socklen_t *restrict address_len)
{
	errno = EAFNOSUPPORT;
	return -1;
}

int
setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	return 0;					/* no local socket has an option that Postgres sets */
}

int
getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict len)
{
	errno = ENOPROTOOPT;
	return -1;
}

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	return EAI_FAMILY;
}

void
freeaddrinfo(struct addrinfo *list)
{
}

int
getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_len,
			char *service, socklen_t service_len, int flags)
{
	return EAI_FAMILY;
}

const char *
gai_strerror(int error)
{
	return "only local sockets are supported";
}
