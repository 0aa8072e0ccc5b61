/* wasi-libc takes any name for a locale and gives C: ours refuse what is not there (locale.c). */
#pragma once
#include_next <locale.h>
char	   *pgl_setlocale(int, const char *);
locale_t	pgl_newlocale(int, const char *, locale_t);
#ifndef PGLITE_NO_LOCALE_MACROS
#define setlocale(category, name) pgl_setlocale(category, name)
#define newlocale(mask, name, base) pgl_newlocale(mask, name, base)
#endif
