/* wasi-libc has signal numbers and signal(), nothing else. */
#pragma once
#include_next <signal.h>
#include <sys/types.h>
#include <__typedef_sigset_t.h>

#define SIG_BLOCK 0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2
#define SA_NOCLDSTOP 1
#define SA_SIGINFO 4
#define SA_RESTART 0x10000000

typedef struct siginfo_t
{
	int			si_signo;
	int			si_code;
	pid_t		si_pid;
	uid_t		si_uid;
} siginfo_t;

struct sigaction
{
	void		(*sa_handler) (int);
	sigset_t	sa_mask;
	int			sa_flags;
};

int			sigaction(int, const struct sigaction *, struct sigaction *);
int			sigprocmask(int, const sigset_t *, sigset_t *);
int			pthread_sigmask(int, const sigset_t *, sigset_t *);
int			sigemptyset(sigset_t *);
int			sigfillset(sigset_t *);
int			sigaddset(sigset_t *, int);
int			sigdelset(sigset_t *, int);
int			sigismember(const sigset_t *, int);
int			sigsuspend(const sigset_t *);
int			sigpending(sigset_t *);
int			sigwait(const sigset_t *, int *);
int			kill(pid_t, int);
int			killpg(pid_t, int);
