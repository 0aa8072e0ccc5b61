#ifndef TOOLS_H
#define TOOLS_H

#include <stdio.h>
#include <sys/types.h>

/* The program of that name or path, or NULL. */
extern int	(*tool_find(const char *path)) (int argc, char **argv);

/* Gives a stream a large buffer. */
extern void tool_buffer(FILE *stream);

/* As fork(), but the child starts in a function; so this returns in the parent only. */
extern pid_t pgl_spawn_at(void (*entry) (void));

/* Of the shim. */
extern pid_t pgl_spawn(void);

#endif
