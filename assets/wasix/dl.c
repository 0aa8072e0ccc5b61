/*
 * dlopen() for the modules that are linked into the main module: plpgsql and the snowball dictionaries
 * are hot, and code in a side module runs up to twice as slow; encoding conversions are needed by any
 * session that asks for another encoding, and the two of replication by any database that takes part in it.
 */
#include <dlfcn.h>
#include <string.h>
#include "conversions.h"

typedef struct Symbol
{
	const char *module;
	const char *name;
	const void *address;
} Symbol;

/* SYMBOL(module, name as Postgres asks for it, name after linking) */
#define SYMBOLS \
	SYMBOL(plpgsql, Pg_magic_func, plpgsql__Pg_magic_func) \
	SYMBOL(plpgsql, _PG_init, plpgsql___PG_init) \
	SYMBOL(plpgsql, plpgsql_call_handler, plpgsql_call_handler) \
	SYMBOL(plpgsql, plpgsql_inline_handler, plpgsql_inline_handler) \
	SYMBOL(plpgsql, plpgsql_validator, plpgsql_validator) \
	SYMBOL(plpgsql, pg_finfo_plpgsql_call_handler, pg_finfo_plpgsql_call_handler) \
	SYMBOL(plpgsql, pg_finfo_plpgsql_inline_handler, pg_finfo_plpgsql_inline_handler) \
	SYMBOL(plpgsql, pg_finfo_plpgsql_validator, pg_finfo_plpgsql_validator) \
	SYMBOL(dict_snowball, Pg_magic_func, dict_snowball__Pg_magic_func) \
	SYMBOL(dict_snowball, dsnowball_init, dsnowball_init) \
	SYMBOL(dict_snowball, dsnowball_lexize, dsnowball_lexize) \
	SYMBOL(dict_snowball, pg_finfo_dsnowball_init, pg_finfo_dsnowball_init) \
	SYMBOL(dict_snowball, pg_finfo_dsnowball_lexize, pg_finfo_dsnowball_lexize) \
	SYMBOL(libpqwalreceiver, Pg_magic_func, libpqwalreceiver__Pg_magic_func) \
	SYMBOL(libpqwalreceiver, _PG_init, libpqwalreceiver___PG_init) \
	SYMBOL(pgoutput, Pg_magic_func, pgoutput__Pg_magic_func) \
	SYMBOL(pgoutput, _PG_output_plugin_init, pgoutput___PG_output_plugin_init) \
	CONVERSIONS

#define SYMBOL(module, name, linked) extern void linked(void);
SYMBOLS
#undef SYMBOL

#define SYMBOL(module, name, linked) {#module, #name, (const void *) linked},
static const Symbol symbols[] = {SYMBOLS};
#undef SYMBOL

static const char *last_error;

void *
dlopen(const char *path, int flags)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (unsigned i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
	{
		const char *module = symbols[i].module;
		size_t		len = strlen(module);

		/* The handle is the module's name. */
		if (strncmp(base, module, len) == 0 && (base[len] == '.' || base[len] == '\0'))
			return (void *) module;
	}
	last_error = "this build has no such module";
	return NULL;
}

void *
dlsym(void *restrict handle, const char *restrict name)
{
	for (unsigned i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		if (strcmp(symbols[i].module, handle) == 0 && strcmp(symbols[i].name, name) == 0)
			return (void *) symbols[i].address;
	last_error = "undefined symbol";
	return NULL;
}

int
dlclose(void *handle)
{
	return 0;
}

char *
dlerror(void)
{
	const char *error = last_error;

	last_error = NULL;
	return (char *) error;
}
