#pragma once
#include_next <errno.h>
#ifndef EHOSTDOWN
#define EHOSTDOWN 1112			/* no WASI call returns it */
#endif
