#pragma once
#include_next <errno.h>

/*
 * errno belongs to a thread, and a side module cannot refer to such a variable of the core's: it asks for the address.
 */
#undef errno
extern int *pgl_errno(void);
#define errno (*pgl_errno())
