/*
 * Signals.  The kernel sets a bit in `pending` (and InterruptPending, so that Postgres' own
 * CHECK_FOR_INTERRUPTS notices) and wakes the process; handlers run here: in waits, when a mask is
 * lifted, and from ProcessInterrupts().
 */
#include <sys/types.h>
#include <sys/time.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "pglite.h"

#define BIT(n) (1u << (n))
#define SIGNALS 32

static struct sigaction actions[SIGNALS];
static uint32_t masked;
static uint32_t pending;

extern volatile sig_atomic_t InterruptPending;
extern void pgl_process_id_refresh(void);

/* wasi-libc's SIG_IGN and SIG_ERR are the addresses of these: 1 is a valid function pointer in Wasm. */
void
__SIG_IGN(int signal)
{
}

void
__SIG_ERR(int signal)
{
}

void
pgl_process_start(void)
{
	pgl_process_id_refresh();
	k_process_init(&pending, (void *) &InterruptPending);
}

static int
default_action_ignores(int signal)
{
	return signal == SIGCHLD || signal == SIGURG || signal == SIGCONT || signal == SIGWINCH;
}

/* Returns whether a handler ran. */
static int
dispatch(void)
{
	int			ran = 0;
	uint32_t	ready;

	while ((ready = __atomic_load_n(&pending, __ATOMIC_SEQ_CST) & ~masked) != 0)
	{
		int			signal = __builtin_ctz(ready);
		uint32_t	saved = masked;
		void		(*handler) (int) = actions[signal].sa_handler;

		__atomic_fetch_and(&pending, ~BIT(signal), __ATOMIC_SEQ_CST);
		if (signal == SIGKILL)
			pgl_terminate(SIGKILL);
		if (handler == SIG_IGN)
			continue;
		if (handler == SIG_DFL)
		{
			if (default_action_ignores(signal))
			{
				/* By which the kernel asks for a call, at which it does what it has to. */
				if (signal == SIGCONT)
					k_process_yield();
				continue;
			}
			pgl_terminate(signal);
		}
		masked |= BIT(signal) | (uint32_t) actions[signal].sa_mask;
		masked &= ~BIT(SIGKILL);
		handler(signal);
		masked = saved;
		ran = 1;
	}
	return ran;
}

void
pgl_dispatch_signals(void)
{
	if (__atomic_load_n(&pending, __ATOMIC_SEQ_CST) & ~masked)
		dispatch();
}

/* For waits: run handlers; if one ran, the wait ends with EINTR. */
int
pgl_interrupted(void)
{
	return (__atomic_load_n(&pending, __ATOMIC_SEQ_CST) & ~masked) && dispatch();
}

int
sigemptyset(sigset_t *set)
{
	*set = 0;
	return 0;
}

int
sigfillset(sigset_t *set)
{
	*set = ~(sigset_t) 0;
	return 0;
}

int
sigaddset(sigset_t *set, int signal)
{
	*set |= (sigset_t) 1 << signal;
	return 0;
}

int
sigdelset(sigset_t *set, int signal)
{
	*set &= ~((sigset_t) 1 << signal);
	return 0;
}

int
sigismember(const sigset_t *set, int signal)
{
	return (*set >> signal) & 1;
}

int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (old)
		*old = masked;
	if (!set)
		return 0;
	if (how == SIG_BLOCK)
		masked |= (uint32_t) *set;
	else if (how == SIG_UNBLOCK)
		masked &= ~(uint32_t) *set;
	else
		masked = (uint32_t) *set;
	masked &= ~BIT(SIGKILL);
	pgl_dispatch_signals();
	return 0;
}

int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	return sigprocmask(how, set, old);
}

int
sigpending(sigset_t *set)
{
	*set = __atomic_load_n(&pending, __ATOMIC_SEQ_CST) & masked;
	return 0;
}

/* Takes a signal of the set, which must be masked, without running its handler. */
int
sigwait(const sigset_t *set, int *signal)
{
	uint32_t	ready;

	while ((ready = __atomic_load_n(&pending, __ATOMIC_SEQ_CST) & (uint32_t) *set) == 0)
	{
		k_process_sleep();
		pgl_dispatch_signals();
	}
	*signal = __builtin_ctz(ready);
	__atomic_fetch_and(&pending, ~BIT(*signal), __ATOMIC_SEQ_CST);
	return 0;
}

int
sigaction(int signal, const struct sigaction *action, struct sigaction *old)
{
	if (signal <= 0 || signal >= SIGNALS || (action && signal == SIGKILL))
	{
		errno = EINVAL;
		return -1;
	}
	if (old)
		*old = actions[signal];
	if (action)
		actions[signal] = *action;
	return 0;
}

int
kill(pid_t pid, int signal)
{
	/* Postgres signals a backend's group; here a process is its own group. */
	if (pid < 0)
		pid = -pid;

	/*
	 * SIGURG only ever means "look at your latch": the wake-up alone does it, without an interrupt
	 * for the target to process.
	 */
	if (signal == SIGURG)
	{
		k_process_wake(pid);
		return 0;
	}
	if (pgl_result(k_proc_signal(pid, signal)) < 0)
		return -1;
	if (signal && pid == getpid())
		pgl_dispatch_signals();
	return 0;
}

int
raise(int signal)
{
	return kill(getpid(), signal);
}

int
setitimer(int which, const struct itimerval *value, struct itimerval *old)
{
	int64_t		ns = value->it_value.tv_sec * 1000000000ll + value->it_value.tv_usec * 1000ll;

	if (old)
		memset(old, 0, sizeof(*old));
	return pgl_result(k_proc_raise_interval(SIGALRM, ns, 0));
}

void		(*signal(int number, void (*handler) (int))) (int)
{
	struct sigaction action = {.sa_handler = handler};
	struct sigaction old;

	return sigaction(number, &action, &old) < 0 ? SIG_ERR : old.sa_handler;
}
