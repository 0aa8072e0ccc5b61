/*
 * Starting programs: there are none. In a file of its own, as the front-end tools have another
 * (tools/command.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
system(const char *command)
{
	errno = ENOSYS;
	return -1;
}

/*
 * One question has an answer: which locales does the system have?  None; Postgres' own (C, and C.UTF-8 of
 * its built-in provider) need no system.
 */
FILE *
popen(const char *command, const char *mode)
{
	if (strcmp(command, "locale -a") == 0)
		return fopen("/dev/null", "r");
	errno = ENOSYS;
	return NULL;
}

int
pclose(FILE *stream)
{
	return fclose(stream);
}
