/* wasi-libc's struct rusage has the two times only, and it has no limits. */
#pragma once
#include <sys/time.h>
#define RUSAGE_SELF 0
#define RUSAGE_CHILDREN (-1)
struct rusage
{
	struct timeval ru_utime,
				ru_stime;
	long		ru_maxrss,
				ru_ixrss,
				ru_idrss,
				ru_isrss,
				ru_minflt,
				ru_majflt,
				ru_nswap,
				ru_inblock,
				ru_oublock,
				ru_msgsnd,
				ru_msgrcv,
				ru_nsignals,
				ru_nvcsw,
				ru_nivcsw;
};
int			getrusage(int, struct rusage *);
typedef unsigned long long rlim_t;
struct rlimit
{
	rlim_t		rlim_cur,
				rlim_max;
};
#define RLIM_INFINITY (~0ULL)
#define RLIMIT_STACK 3
#define RLIMIT_CORE 4
#define RLIMIT_NOFILE 7
int			getrlimit(int, struct rlimit *);
int			setrlimit(int, const struct rlimit *);
