/*
 * Locales: there is C.  A name that libc does not know must be an error, not C under another name, or
 * collations would sort in an order that nobody asked for.
 */
#define PGLITE_NO_LOCALE_MACROS
#include <errno.h>
#include <locale.h>
#include <string.h>

static int
exists(const char *name)
{
	return *name == '\0' || strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0;
}

char *
pgl_setlocale(int category, const char *name)
{
	if (name && !exists(name))
		return NULL;
	return setlocale(category, name ? "C" : NULL);
}

locale_t
pgl_newlocale(int mask, const char *name, locale_t base)
{
	if (!exists(name))
	{
		errno = ENOENT;
		return (locale_t) 0;
	}
	return newlocale(mask, "C", base);
}
