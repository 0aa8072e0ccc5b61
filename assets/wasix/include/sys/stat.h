#pragma once
#include_next <sys/stat.h>

/* wasi-libc's fail; and they are in the object of its open(), so ours need names of their own. */
#define chmod pgl_chmod
#define fchmod pgl_fchmod
mode_t		umask(mode_t);
int			chmod(const char *, mode_t);
int			fchmod(int, mode_t);

/* WASI's attributes have no owner and no permission bits: ours fill them in (file.c). */
int			pgl_stat(const char *__restrict, struct stat *__restrict);
int			pgl_lstat(const char *__restrict, struct stat *__restrict);
int			pgl_fstat(int, struct stat *);
#ifndef PGLITE_NO_STAT_MACROS
#define stat(path, buf) pgl_stat(path, buf)
#define lstat(path, buf) pgl_lstat(path, buf)
#define fstat(fd, buf) pgl_fstat(fd, buf)
#endif
