#pragma once
#include_next <sys/time.h>
#ifndef ITIMER_REAL
#define ITIMER_REAL 0
struct itimerval
{
	struct timeval it_interval,
				it_value;
};
int			setitimer(int, const struct itimerval *, struct itimerval *);
#endif
