/* What the tools want of a terminal, and of a directory for temporary files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* Whether a password is shown while it is typed is the host's matter. */
int
tcgetattr(int fd, struct termios *settings)
{
	errno = ENOTTY;
	return -1;
}

int
tcsetattr(int fd, int when, const struct termios *settings)
{
	errno = ENOTTY;
	return -1;
}

/* For archives of the format tar, each member of which is written there first. */
FILE *
tmpfile(void)
{
	static unsigned count;
	char		path[64];

	for (int attempt = 0; attempt < 100; attempt++)
	{
		int			fd;
		FILE	   *file;

		snprintf(path, sizeof(path), "/tmp/pglite-%d-%u-%08x", (int) getpid(), count++, arc4random());
		fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return NULL;
		unlink(path);
		file = fdopen(fd, "w+");
		if (!file)
			close(fd);
		return file;
	}
	return NULL;
}
