/*
 * Streams with larger buffers: libc's have 1 kB, and each time one is full is a call of the kernel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tools.h"

#define BUFFER_SIZE (64 << 10)

extern FILE *__real_fdopen(int fd, const char *mode);

/*
 * Before anything was read or written. The buffer is not freed with the stream: there are two or three of them
 * in the life of a tool. libc takes a size only together with a buffer.
 */
void
tool_buffer(FILE *stream)
{
	char	   *buffer = malloc(BUFFER_SIZE);

	if (buffer)
		setvbuf(stream, buffer, _IOFBF, BUFFER_SIZE);
}

/*
 * The linker puts it in the place of fdopen (--wrap). pg_dump writes scripts not to stdout, but to a stream that
 * it opens on a copy of its descriptor.
 */
FILE *
__wrap_fdopen(int fd, const char *mode)
{
	FILE	   *stream = __real_fdopen(fd, mode);

	if (stream && !isatty(fd))
		tool_buffer(stream);
	return stream;
}
