/*
 * Files: what WASI has no notion of.  There are no users, groups or permission bits in the guest; every
 * file belongs to the one user there is, as Postgres' checks expect of a data directory.
 */
#define PGLITE_NO_STAT_MACROS
#include <sys/types.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pglite.h"

static int
complete(int result, struct stat *st)
{
	if (result == 0)
	{
		st->st_uid = geteuid();
		st->st_gid = getegid();
		st->st_mode |= S_ISDIR(st->st_mode) ? 0700 : 0600;
		st->st_blksize = 8192;
		st->st_blocks = (st->st_size + 511) / 512;
	}
	return result;
}

int
pgl_stat(const char *restrict path, struct stat *restrict st)
{
	return complete(stat(path, st), st);
}

int
pgl_lstat(const char *restrict path, struct stat *restrict st)
{
	return complete(lstat(path, st), st);
}

int
pgl_fstat(int fd, struct stat *st)
{
	return complete(fstat(fd, st), st);
}

mode_t
umask(mode_t mask)
{
	static mode_t current = 077;
	mode_t		old = current;

	current = mask & 0777;
	return old;
}

/*
 * There is nothing to change, but the file has to be there: CREATE TABLESPACE finds out by chmod whether
 * its directory exists.
 */
int
chmod(const char *path, mode_t mode)
{
	struct stat st;

	return stat(path, &st);
}

int
fchmod(int fd, mode_t mode)
{
	struct stat st;

	return fstat(fd, &st);
}

int
chown(const char *path, uid_t user, gid_t group)
{
	struct stat st;

	return stat(path, &st);
}

int
dup(int fd)
{
	int32_t		copy = -1;

	if (pgl_result(k_fd_dup(fd, &copy)) < 0)
		return -1;
	return copy;
}

/* Only the syslogger asks for it, and the host reads the log itself. */
int
dup2(int from, int to)
{
	errno = ENOSYS;
	return -1;
}

int
pipe(int fds[2])
{
	int32_t		reader,
				writer;

	if (pgl_result(k_fd_pipe(&reader, &writer)) < 0)
		return -1;
	fds[0] = reader;
	fds[1] = writer;
	return 0;
}

/* Files are never mapped: wasi-libc's mmap() copies, for those who map anyway. */
int
msync(void *address, size_t len, int flags)
{
	return 0;
}

int
syncfs(int fd)
{
	return pgl_result(k_fd_sync_file_system(fd));
}
