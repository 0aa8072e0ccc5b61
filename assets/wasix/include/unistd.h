#pragma once
#include_next <unistd.h>
#include <sys/types.h>
pid_t		fork(void);
pid_t		getppid(void);
pid_t		setsid(void);
pid_t		getpgrp(void);
int			setpgid(pid_t, pid_t);
uid_t		getuid(void);
uid_t		geteuid(void);
gid_t		getgid(void);
gid_t		getegid(void);
int			dup(int);
int			dup2(int, int);
int			pipe(int[2]);
int			syncfs(int);
int			execv(const char *, char *const[]);
int			execl(const char *, const char *,...);
int			chown(const char *, uid_t, gid_t);
unsigned	alarm(unsigned);
int			getpagesize(void);
int			getpeereid(int, uid_t *, gid_t *);
