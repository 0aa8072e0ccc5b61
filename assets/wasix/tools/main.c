/*
 * The front-end tools as one program, which is the one that argv[0] names; and processes they start.
 *
 * They share nine tenths of their code. What is global in them has no name twice, and each process runs
 * one of them, but for pg_dumpall, which starts pg_dump: see command.c.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../pglite.h"
#include "tools.h"

extern int	pg_dump_main(int argc, char **argv);
extern int	pg_dumpall_main(int argc, char **argv);
extern int	pg_restore_main(int argc, char **argv);
extern int	psql_main(int argc, char **argv);

static const struct
{
	const char *name;
	int			(*main) (int argc, char **argv);
}			programs[] = {
	{"pg_dump", pg_dump_main},
	{"pg_dumpall", pg_dumpall_main},
	{"pg_restore", pg_restore_main},
	{"psql", psql_main},
};

/* The kernel sets it with each signal, for the backend's sake. */
volatile sig_atomic_t InterruptPending;

static void (*child_entry) (void);

int
			(*tool_find(const char *path)) (int argc, char **argv)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(programs[i].name, name) == 0)
			return programs[i].main;
	return NULL;
}

pid_t
pgl_spawn_at(void (*entry) (void))
{
	child_entry = entry;
	return pgl_spawn();
}

/* A child, with a copy of its parent's memory. */
void
pgl_child_main(void)
{
	pgl_process_start();
	child_entry();
}

/* No tool leaves its instance. */
void
pgl_unpark_main(void)
{
	abort();
}

int
main(int argc, char **argv)
{
	int			(*program) (int argc, char **argv) = argc > 0 ? tool_find(argv[0]) : NULL;
	const char *directory = getenv("PGLITE_DIRECTORY");

	if (!program)
	{
		fprintf(stderr, "no such program\n");
		return 127;
	}
	/* WASI's programs begin at the root. */
	if (directory && chdir(directory) < 0)
	{
		fprintf(stderr, "%s: %s\n", directory, strerror(errno));
		return 126;
	}
	if (!isatty(STDOUT_FILENO))
		tool_buffer(stdout);
	return program(argc, argv);
}
