/*
 * Processes: entry, spawn, wait, exit.
 *
 * A process leaves by longjmp() to the frame that the kernel called, not by proc_exit: an error that
 * crosses from the host through Wasm frames makes Wasmer collect a symbolised backtrace (tens of
 * milliseconds), the exception behind longjmp costs microseconds.
 */
#include <sys/types.h>
#include <sys/wait.h>
#include <alloca.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "pglite.h"

static jmp_buf process_frame;
static int	wait_status;
static pid_t my_pid;

/* What lies above this on the stack stays: there may be pointers to it. */
static char *parked_at;

extern int	__main_void(void);
extern void pgl_child_main(void);
extern void pgl_unpark_main(void);

int
pgl_result(int32_t error)
{
	if (error == 0)
		return 0;
	errno = error;
	return -1;
}

static int
run(void (*body) (void))
{
	if (setjmp(process_frame) == 0)
		body();
	return wait_status;
}

static void
main_body(void)
{
	pgl_process_start();
	exit(__main_void());
}

static void
child_body(void)
{
	pgl_child_main();
	exit(0);
}

static void
unpark_body(void)
{
	pgl_unpark_main();
	exit(0);
}

/* All return the wait status, as waitpid(2) encodes it, or PGL_PARKED. */
__attribute__((export_name("pgl_main"))) int
pgl_main(void)
{
	return run(main_body);
}

__attribute__((export_name("pgl_child"))) int
pgl_child(void)
{
	return run(child_body);
}

/* The frames of the first park are gone, but what they keep in memory must not be written over. */
__attribute__((export_name("pgl_unpark"))) int
pgl_unpark(void)
{
	size_t		above = (char *) __builtin_frame_address(0) - parked_at;
	volatile char *kept = alloca(above + 64);

	kept[0] = 0;
	return run(unpark_body);
}

_Noreturn void
pgl_park(void)
{
	if (!parked_at)
		parked_at = __builtin_frame_address(0);
	pgl_terminate(PGL_PARKED);
}

/* Whether this process was made from an image, asked for the first time. */
int
pgl_is_copy(void *copy)
{
	return k_process_copy(copy) > 0;
}

_Noreturn void
pgl_terminate(int status)
{
	wait_status = status;
	longjmp(process_frame, 1);
}

_Noreturn void
_Exit(int code)
{
	pgl_terminate((code & 0xff) << 8);
}

_Noreturn void
_exit(int code)
{
	_Exit(code);
}

_Noreturn void
abort(void)
{
	pgl_terminate(SIGABRT);
}

/* The copy of the parent's memory has the parent's pid in it: ask anew. */
void
pgl_process_id_refresh(void)
{
	int32_t		pid = 0;

	k_proc_id(&pid);
	my_pid = pid;
}

pid_t
getpid(void)
{
	return my_pid;
}

pid_t
getppid(void)
{
	int32_t		parent = 0;

	k_proc_parent(my_pid, &parent);
	return parent;
}

pid_t
pgl_spawn(void)
{
	int32_t		pid = k_process_spawn();

	if (pid < 0)
	{
		errno = -pid;
		return -1;
	}
	return pid;
}

pid_t
waitpid(pid_t pid, int *status, int options)
{
	int32_t		raw = 0;
	int32_t		ended;

	while ((ended = k_process_wait(pid, &raw)) == 0 && !(options & WNOHANG))
	{
		k_process_sleep();
		pgl_dispatch_signals();
	}
	if (ended < 0)
	{
		errno = -ended;
		return -1;
	}
	if (ended > 0 && status)
		*status = raw;
	return ended;
}

pid_t
wait(int *status)
{
	return waitpid(-1, status, 0);
}

/* Every process is its own session and group leader: the kernel has no job control. */
pid_t
setsid(void)
{
	return my_pid;
}
