/*
 * Sockets.  recv, send and shutdown are wasi-libc's; here is what it leaves out.  The only listeners are
 * the cluster's own local ones (AF_UNIX names that never touch the host's file system).
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Numeric addresses and "localhost" only: the guest has no resolver. */
static int
parse_address(const char *host, int family, struct sockaddr_storage *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *) address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) address;

	memset(address, 0, sizeof(*address));
	if (strcmp(host, "localhost") == 0)
		host = family == AF_INET6 ? "::1" : "127.0.0.1";
	if (family != AF_INET6 && inet_pton(AF_INET, host, &in->sin_addr) == 1)
	{
		in->sin_family = AF_INET;
		return sizeof(*in);
	}
	if (family != AF_INET && inet_pton(AF_INET6, host, &in6->sin6_addr) == 1)
	{
		in6->sin6_family = AF_INET6;
		return sizeof(*in6);
	}
	return 0;
}

typedef struct Answer
{
	struct addrinfo info;
	struct sockaddr_storage address;
} Answer;

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int			family = hints ? hints->ai_family : AF_UNSPEC;
	int			passive = hints && (hints->ai_flags & AI_PASSIVE);
	Answer	   *answer;
	int			len;

	if (!host)
		host = family == AF_INET6 ? (passive ? "::" : "::1") : (passive ? "0.0.0.0" : "127.0.0.1");
	answer = calloc(1, sizeof(*answer));
	if (!answer)
		return EAI_MEMORY;
	len = parse_address(host, family, &answer->address);
	if (len == 0)
	{
		free(answer);
		return EAI_NONAME;
	}
	/* The port is at the same place in both kinds of address. */
	((struct sockaddr_in *) &answer->address)->sin_port = htons(service ? atoi(service) : 0);
	answer->info.ai_family = answer->address.ss_family;
	answer->info.ai_socktype = SOCK_STREAM;
	answer->info.ai_addrlen = len;
	answer->info.ai_addr = (struct sockaddr *) &answer->address;
	*result = &answer->info;
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	/* An answer is one entry, which is its first member. */
	free(list);
}

int
getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_len,
			char *service, socklen_t service_len, int flags)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;
	const void *number;

	if (address->sa_family == AF_INET)
		number = &in->sin_addr;
	else if (address->sa_family == AF_INET6)
		number = &in6->sin6_addr;
	else
		return EAI_FAMILY;
	if (host && host_len > 0 && !inet_ntop(address->sa_family, number, host, host_len))
		return EAI_OVERFLOW;
	if (service && service_len > 0 &&
		snprintf(service, service_len, "%u", ntohs(in->sin_port)) >= (int) service_len)
		return EAI_OVERFLOW;
	return 0;
}

const char *
gai_strerror(int error)
{
	return error == EAI_MEMORY ? "out of memory" : "not a numeric address";
}
