/*
 * What the library does when it is loaded.
 */
#include "ivfflat.h"

extern void _PG_init(void);

void
_PG_init(void)
{
	ivfflat_init();
}
