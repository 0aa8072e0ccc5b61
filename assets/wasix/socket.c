/*
 * Sockets.  recv, send and shutdown are wasi-libc's; here is what it leaves out.  A process can listen to
 * AF_UNIX names of the cluster only; clients of the host's sockets come in through these as well, with
 * addresses of their own.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

	if (pgl_result(k_sock_open(family, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), protocol, &fd)) < 0)
		return -1;
	/* Nothing is ever executed, so all descriptors are close-on-exec. */
	if (type & SOCK_NONBLOCK && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
	{
		close(fd);
		return -1;
	}
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

int
accept(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
	__wasi_fd_t peer;

	if (pgl_result(__wasi_sock_accept(fd, 0, &peer)) < 0)
		return -1;
	if (address && len && getpeername(peer, address, len) < 0)
	{
		close(peer);
		return -1;
	}
	return peer;
}

int
getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
	return pgl_result(k_sock_local_address(fd, address, len));
}

int
getpeername(int fd, struct sockaddr *address, socklen_t *len)
{
	return pgl_result(k_sock_peer_address(fd, address, len));
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	return pgl_result(k_sock_connect(fd, address, len));
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
	int			number;

	if (len < sizeof(number))
	{
		errno = EINVAL;
		return -1;
	}
	memcpy(&number, value, sizeof(number));
	return pgl_result(k_sock_set_option(fd, level, option, number));
}

int
getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict len)
{
	int32_t		number;

	if (*len < sizeof(number))
	{
		errno = EINVAL;
		return -1;
	}
	if (pgl_result(k_sock_get_option(fd, level, option, &number)) < 0)
		return -1;
	memcpy(value, &number, sizeof(number));
	*len = sizeof(number);
	return 0;
}

/* Hosts with more addresses than this are reached by one of the first. */
#define MAX_ADDRESSES 16

typedef union Address
{
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
} Address;

_Static_assert(sizeof(Address) == PGL_ADDRESS_SIZE, "the kernel's size of an address");

static int
parse_address(const char *host, Address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host, &address->in.sin_addr) == 1)
		address->any.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &address->in6.sin6_addr) == 1)
		address->any.sa_family = AF_INET6;
	else
		return 0;
	return 1;
}

/* The addresses of a host, of any family; their number, or an EAI_ code. */
static int
find_addresses(const char *host, int flags, Address *addresses)
{
	uint32_t	count = 0;
	int32_t		error;

	if (parse_address(host, &addresses[0]))
		return 1;
	if (flags & AI_NUMERICHOST)
		return EAI_NONAME;
	do
	{
		error = k_resolve_name(host, strlen(host), addresses, MAX_ADDRESSES, &count);
		pgl_dispatch_signals();
	} while (error == EINTR);
	if (error != 0 && error != ENOENT)
	{
		errno = error;
		return EAI_SYSTEM;
	}
	return error == 0 && count > 0 ? (int) count : EAI_NONAME;
}

static int
parse_port(const char *service, in_port_t *port)
{
	char	   *end;
	unsigned long number;

	*port = 0;
	if (!service)
		return 0;
	number = strtoul(service, &end, 10);
	if (end == service || *end != '\0' || number > 65535)
		return EAI_SERVICE;		/* names of services are not known here */
	*port = htons(number);
	return 0;
}

typedef struct Answer
{
	struct addrinfo info;
	Address		address;
} Answer;

int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int			family = hints ? hints->ai_family : AF_UNSPEC;
	int			flags = hints ? hints->ai_flags : 0;
	Address		found[MAX_ADDRESSES];
	Answer	   *answers;
	in_port_t	port;
	int			count;
	int			used = 0;

	if (!host)
	{
		if (family == AF_INET6)
			host = flags & AI_PASSIVE ? "::" : "::1";
		else
			host = flags & AI_PASSIVE ? "0.0.0.0" : "127.0.0.1";
	}
	if (parse_port(service, &port) != 0)
		return EAI_SERVICE;
	count = find_addresses(host, flags, found);
	if (count < 0)
		return count;

	answers = calloc(count, sizeof(*answers));
	if (!answers)
		return EAI_MEMORY;
	for (int i = 0; i < count; i++)
	{
		Answer	   *answer = &answers[used];

		if (family != AF_UNSPEC && family != found[i].any.sa_family)
			continue;
		answer->address = found[i];
		answer->address.in.sin_port = port; /* at the same place in both kinds of address */
		answer->info.ai_family = found[i].any.sa_family;
		answer->info.ai_socktype = hints && hints->ai_socktype ? hints->ai_socktype : SOCK_STREAM;
		answer->info.ai_addrlen = found[i].any.sa_family == AF_INET ? sizeof(found[i].in) : sizeof(found[i].in6);
		answer->info.ai_addr = &answer->address.any;
		if (used++ > 0)
			answers[used - 2].info.ai_next = &answer->info;
	}
	if (used == 0)
	{
		free(answers);
		return EAI_NONAME;
	}
	*result = &answers[0].info;
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	/* All answers are one array; its first member is the list's head. */
	free(list);
}

int
getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_len,
			char *service, socklen_t service_len, int flags)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;
	const void *number;

	/* Nobody is asked for the name of an address. */
	if (flags & NI_NAMEREQD)
		return EAI_NONAME;
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
	switch (error)
	{
		case EAI_NONAME:
			return "the name has no address, or the address no name";
		case EAI_SERVICE:
			return "not the number of a port";
		case EAI_FAMILY:
			return "address family not supported";
		case EAI_MEMORY:
			return "out of memory";
		case EAI_OVERFLOW:
			return "the result is too long";
		default:
			return "the name cannot be resolved";
	}
}
