/* The one user there is, who others are, and the limits Postgres asks for. */
#include <sys/types.h>
#include <sys/resource.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>
#include "pglite.h"

#define GUEST_ID 1000			/* not 0: Postgres refuses to run as root */

#define NOBODY 65534

/* The linker's -z stack-size; Postgres derives the ceiling of max_stack_depth from it. */
#define SHADOW_STACK (8u << 20)

static struct passwd guest = {
	.pw_name = "postgres", .pw_passwd = "x", .pw_uid = GUEST_ID, .pw_gid = GUEST_ID,
	.pw_gecos = "", .pw_dir = "/", .pw_shell = "/bin/false"
};

uid_t
getuid(void)
{
	return GUEST_ID;
}

uid_t
geteuid(void)
{
	return GUEST_ID;
}

gid_t
getgid(void)
{
	return GUEST_ID;
}

gid_t
getegid(void)
{
	return GUEST_ID;
}

struct passwd *
getpwuid(uid_t id)
{
	return id == GUEST_ID ? &guest : NULL;
}

struct passwd *
getpwnam(const char *name)
{
	return strcmp(name, guest.pw_name) == 0 ? &guest : NULL;
}

int
getpwuid_r(uid_t id, struct passwd *entry, char *buffer, size_t len, struct passwd **result)
{
	*result = NULL;
	if (id != GUEST_ID)
		return 0;
	*entry = guest;
	*result = entry;
	return 0;
}

struct group *
getgrnam(const char *name)
{
	return NULL;
}

int
getpeereid(int fd, uid_t *user, gid_t *group)
{
	int32_t		who;
	uint32_t	host_user;

	if (pgl_result(k_sock_peer_identity(fd, &who, &host_user)) < 0)
		return -1;
	/* Other users of the host have no entry here, and none must have the number that has one. */
	if (who == PGL_PEER_OTHER_USER)
		*user = *group = host_user == GUEST_ID ? NOBODY : host_user;
	else
		*user = *group = GUEST_ID;
	return 0;
}

/* For patch 0006. */
int
pgl_peer_is_program(int fd)
{
	int32_t		who;
	uint32_t	host_user;

	return k_sock_peer_identity(fd, &who, &host_user) == 0 && who == PGL_PEER_PROGRAM;
}

int
getrlimit(int resource, struct rlimit *limit)
{
	rlim_t		value = RLIM_INFINITY;

	if (resource == RLIMIT_STACK)
		value = SHADOW_STACK;
	else if (resource == RLIMIT_NOFILE)
		value = 1024;
	limit->rlim_cur = limit->rlim_max = value;
	return 0;
}

int
setrlimit(int resource, const struct rlimit *limit)
{
	return 0;
}

/* The CPU time of this process (its thread), all of it as user time. */
int
getrusage(int who, struct rusage *usage)
{
	const __wasi_clockid_t process_cpu_time = 2;
	__wasi_timestamp_t ns = 0;

	memset(usage, 0, sizeof(*usage));
	if (who == RUSAGE_SELF)
		__wasi_clock_time_get(process_cpu_time, 0, &ns);
	usage->ru_utime.tv_sec = ns / 1000000000;
	usage->ru_utime.tv_usec = ns % 1000000000 / 1000;
	return 0;
}
