/*
 * dlopen().
 *
 * Some modules are linked into the main module: plpgsql and the snowball dictionaries are hot, and code in a
 * side module runs up to twice as slow; encoding conversions are needed by any session that asks for another
 * encoding, and the two of replication by any database that takes part in it. All others are side modules,
 * which the kernel links (src/kernel/linker). It never calls into the guest for that: the memory of a module
 * is allocated here, and its initialisers are called from here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "conversions.h"
#include "pglite.h"

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

/* A handle of the kernel's is a small number, one of a linked-in module the address of its name. */
#define MAX_SIDE_MODULES 1024

static const char *last_error;
static char kernel_error[1024];

static void
take_kernel_error(void)
{
	int32_t		len = k_dl_message(kernel_error, sizeof(kernel_error) - 1);

	kernel_error[len > 0 ? len : 0] = '\0';
	last_error = kernel_error;
}

/* The name of a linked-in module, or NULL. */
static const char *
linked_in(const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (unsigned i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
	{
		const char *module = symbols[i].module;
		size_t		len = strlen(module);

		if (strncmp(base, module, len) == 0 && (strcmp(base + len, ".so") == 0 || base[len] == '\0'))
			return module;
	}
	return NULL;
}

static void *
open_side_module(const char *path)
{
	struct pgl_side_module module;
	void	   *memory;
	void		(*initialise[2]) (void) = {NULL, NULL};

	if (k_dl_open(path, strlen(path), &module) != 0)
	{
		take_kernel_error();
		return NULL;
	}
	if (module.is_loaded)
		return (void *) module.handle;
	/* Its data begin as zeros. What fails here is not given back: as much is lost as the module has. */
	memory = aligned_alloc(module.align, module.size);
	if (!memory)
	{
		last_error = "out of memory";
		return NULL;
	}
	memset(memory, 0, module.size);
	if (k_dl_link(module.handle, memory, initialise) != 0)
	{
		take_kernel_error();
		free(memory);
		return NULL;
	}
	/* Addresses in its data, then what C++ and attributes ask for. */
	for (int i = 0; i < 2; i++)
		if (initialise[i])
			initialise[i] ();
	return (void *) module.handle;
}

void *
dlopen(const char *path, int flags)
{
	const char *module = linked_in(path);

	return module ? (void *) module : open_side_module(path);
}

void *
dlsym(void *restrict handle, const char *restrict name)
{
	if ((uintptr_t) handle <= MAX_SIDE_MODULES)
	{
		void	   *address;

		if (k_dl_symbol((int32_t) (uintptr_t) handle, name, strlen(name), &address) == 0)
			return address;
		take_kernel_error();
		return NULL;
	}
	for (unsigned i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		if (strcmp(symbols[i].module, handle) == 0 && strcmp(symbols[i].name, name) == 0)
			return (void *) symbols[i].address;
	last_error = "undefined symbol";
	return NULL;
}

/* PostgreSQL closes only what turns out to be no module of its own: that stays, as it may have been opened before. */
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

/* For side modules, in which errno itself cannot be: it belongs to a thread. */
int *
pgl_errno(void)
{
	return &errno;
}
