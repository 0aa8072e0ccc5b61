/*
 * The library as PostgreSQL loads it.
 */
#include "ruvector.h"

#include "hnsw.h"
#include "ivfflat.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	hnsw_init();
	ivfflat_init();
}
