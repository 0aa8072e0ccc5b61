/*
 * system() and popen() for commands that are one of the tools themselves, as pg_dumpall runs pg_dump: a
 * child with a copy of this process's memory runs that program's main(), of which the copy has not run
 * anything before. There are no other programs, and no shell.
 */
#include <sys/types.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>
#include "../pglite.h"
#include "tools.h"

#define MAX_WORDS 256
#define MAX_STREAMS 8

/* What the next child runs. */
static struct
{
	int			argc;
	char	   *argv[MAX_WORDS + 1];
	/* Its standard output, or -1 for ours. */
	int			output;
}			command;

static struct
{
	FILE	   *stream;
	pid_t		pid;
}			streams[MAX_STREAMS];

/*
 * Splits a command as a shell would, in place of which this stands: words, and quotes of both kinds with
 * the backslash inside the double ones. Fails at what only a shell can do.
 */
static int
split(const char *text)
{
	char	   *out = malloc(2 * strlen(text) + 2);	/* never freed: the child's arguments are in it */

	if (!out)
		return -1;
	command.argc = 0;
	for (;;)
	{
		char		quote = '\0';

		while (*text == ' ')
			text++;
		if (*text == '\0')
			break;
		if (command.argc == MAX_WORDS)
		{
			errno = E2BIG;
			return -1;
		}
		command.argv[command.argc++] = out;
		for (; *text && (quote || *text != ' '); text++)
		{
			if (quote ? *text == quote : (*text == '\'' || *text == '"'))
				quote = quote ? '\0' : *text;
			else if (*text == '\\' && quote != '\'' && text[1])
				*out++ = *++text;
			else if (!quote && strchr("|&;<>()$`*?~#\n", *text))
			{
				errno = ENOSYS;
				return -1;
			}
			else
				*out++ = *text;
		}
		*out++ = '\0';
	}
	command.argv[command.argc] = NULL;
	if (command.argc == 0 || !tool_find(command.argv[0]))
	{
		errno = ENOSYS;
		return -1;
	}
	return 0;
}

static void
run_command(void)
{
	if (command.output >= 0)
		__wasi_fd_renumber(command.output, STDOUT_FILENO);
	optind = 0;					/* musl's way to begin anew */
	exit(tool_find(command.argv[0]) (command.argc, command.argv));
}

static pid_t
start(const char *text, int output)
{
	if (split(text) < 0)
		return -1;
	/* What is buffered would be written twice. */
	fflush(NULL);
	command.output = output;
	return pgl_spawn_at(run_command);
}

int
system(const char *text)
{
	int			status;
	pid_t		pid = start(text, -1);

	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return status;
}

FILE *
popen(const char *text, const char *mode)
{
	int			ends[2];
	int			slot = 0;

	if (mode[0] != 'r')
	{
		errno = ENOSYS;
		return NULL;
	}
	while (slot < MAX_STREAMS && streams[slot].stream)
		slot++;
	if (slot == MAX_STREAMS)
	{
		errno = EMFILE;
		return NULL;
	}
	if (pipe(ends) < 0)
		return NULL;
	streams[slot].pid = start(text, ends[1]);
	close(ends[1]);
	if (streams[slot].pid < 0 || !(streams[slot].stream = fdopen(ends[0], "r")))
	{
		close(ends[0]);
		return NULL;
	}
	return streams[slot].stream;
}

int
pclose(FILE *stream)
{
	int			status = -1;

	for (int slot = 0; slot < MAX_STREAMS; slot++)
		if (streams[slot].stream == stream)
		{
			streams[slot].stream = NULL;
			fclose(stream);
			if (waitpid(streams[slot].pid, &status, 0) < 0)
				return -1;
			return status;
		}
	errno = EINVAL;
	return -1;
}
