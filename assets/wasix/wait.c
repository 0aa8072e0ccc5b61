/*
 * Waiting: poll, sleep, and the sleep behind semaphores.  The kernel's wait ends early with EINTR when
 * the process is woken; signal handlers run before and after it.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>
#include "pglite.h"

extern int	pgl_interrupted(void);

int
poll(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	__wasi_subscription_t subs[3 * nfds + 1];
	__wasi_event_t events[3 * nfds + 1];
	size_t		nsubs = 0;
	__wasi_size_t nevents = 0;
	__wasi_errno_t error;
	int			ready = 0;

	if (pgl_interrupted())
	{
		errno = EINTR;
		return -1;
	}

	memset(subs, 0, sizeof(subs));
	for (nfds_t i = 0; i < nfds; i++)
	{
		fds[i].revents = 0;
		if (fds[i].fd < 0)
			continue;
		if (fds[i].events & POLLIN)
		{
			subs[nsubs].userdata = i;
			subs[nsubs].u.tag = __WASI_EVENTTYPE_FD_READ;
			subs[nsubs++].u.u.fd_read.file_descriptor = fds[i].fd;
		}
		if (fds[i].events & POLLOUT)
		{
			subs[nsubs].userdata = i;
			subs[nsubs].u.tag = __WASI_EVENTTYPE_FD_WRITE;
			subs[nsubs++].u.u.fd_write.file_descriptor = fds[i].fd;
		}
		if (fds[i].events & POLLRDHUP)
		{
			subs[nsubs].userdata = i;
			subs[nsubs].u.tag = PGL_EVENTTYPE_FD_CLOSED;
			subs[nsubs++].u.u.fd_read.file_descriptor = fds[i].fd;
		}
	}
	if (timeout_ms >= 0)
	{
		subs[nsubs].u.tag = __WASI_EVENTTYPE_CLOCK;
		subs[nsubs].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
		subs[nsubs++].u.u.clock.timeout = timeout_ms * 1000000ull;
	}

	error = __wasi_poll_oneoff(subs, events, nsubs, &nevents);
	if (error != 0 && error != EINTR)
		return pgl_result(error);

	for (__wasi_size_t k = 0; error == 0 && k < nevents; k++)
	{
		struct pollfd *pfd;

		if (events[k].type == __WASI_EVENTTYPE_CLOCK)
			continue;
		pfd = &fds[events[k].userdata];
		if (pfd->revents == 0)
			ready++;
		if (events[k].error == __WASI_ERRNO_BADF)
			pfd->revents |= POLLNVAL;
		else if (events[k].error != 0)
			pfd->revents |= POLLERR;
		else
		{
			if (events[k].type == __WASI_EVENTTYPE_FD_READ)
				pfd->revents |= POLLIN;
			else if (events[k].type == __WASI_EVENTTYPE_FD_WRITE)
				pfd->revents |= POLLOUT;
			else
				pfd->revents |= POLLRDHUP;
			if (events[k].fd_readwrite.flags & __WASI_EVENTRWFLAGS_FD_READWRITE_HANGUP)
				pfd->revents |= POLLHUP;
		}
	}

	if (ready == 0 && (pgl_interrupted() || error == EINTR))
	{
		errno = EINTR;
		return -1;
	}
	pgl_dispatch_signals();
	return ready;
}

int
nanosleep(const struct timespec *wanted, struct timespec *left)
{
	__wasi_subscription_t sub;
	__wasi_event_t event;
	__wasi_size_t nevents;
	__wasi_errno_t error;

	if (left)
		memset(left, 0, sizeof(*left));
	if (pgl_interrupted())
	{
		errno = EINTR;
		return -1;
	}
	memset(&sub, 0, sizeof(sub));
	sub.u.tag = __WASI_EVENTTYPE_CLOCK;
	sub.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
	sub.u.u.clock.timeout = wanted->tv_sec * 1000000000ull + wanted->tv_nsec;
	error = __wasi_poll_oneoff(&sub, &event, 1, &nevents);
	pgl_dispatch_signals();
	return pgl_result(error);
}

int
usleep(unsigned int microseconds)
{
	struct timespec wanted = {microseconds / 1000000, (long) (microseconds % 1000000) * 1000};

	return nanosleep(&wanted, NULL);
}

unsigned int
sleep(unsigned int seconds)
{
	struct timespec wanted = {seconds, 0};

	nanosleep(&wanted, NULL);
	return 0;
}

int
sched_yield(void)
{
	k_process_yield();
	return 0;
}

/* Used by the port's semaphores: returns after a wake-up, with handlers run. */
void
pgl_sleep(void)
{
	k_process_sleep();
	pgl_dispatch_signals();
}

void
pgl_wake(int pid)
{
	k_process_wake(pid);
}
