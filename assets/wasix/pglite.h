/*
 * The kernel's calls.  Each returns 0 or a WASI error number unless it says otherwise.
 */
#ifndef PGLITE_H
#define PGLITE_H

#include <stddef.h>
#include <stdint.h>

#define WASIX(name) __attribute__((import_module("wasix_32v1"), import_name(#name)))
#define PGLITE(name) __attribute__((import_module("pglite"), import_name(#name)))

/* ---- WASIX ---- */

WASIX(fd_dup) extern int32_t k_fd_dup(int32_t fd, int32_t *copy);
WASIX(fd_pipe) extern int32_t k_fd_pipe(int32_t *reader, int32_t *writer);
WASIX(proc_id) extern int32_t k_proc_id(int32_t *pid);
WASIX(proc_parent) extern int32_t k_proc_parent(int32_t pid, int32_t *parent);
/* Sets the signal's pending bit in the target and wakes it; signal 0 only asks whether it lives. */
WASIX(proc_signal) extern int32_t k_proc_signal(int32_t pid, int32_t signal);
/* One-shot (or repeating) timer of this process that raises the signal; 0 ns switches it off. */
WASIX(proc_raise_interval) extern int32_t k_proc_raise_interval(int32_t signal, int64_t nanoseconds, int32_t repeat);
WASIX(sock_open) extern int32_t k_sock_open(int32_t family, int32_t type, int32_t protocol, int32_t *fd);
WASIX(sock_listen) extern int32_t k_sock_listen(int32_t fd, int32_t backlog);

/* ---- only here ---- */

/* Names the two words that the kernel sets when it raises a signal: at the start of every process. */
PGLITE(process_init) extern int32_t k_process_init(void *pending, void *interrupt);
/*
 * Makes [window, window + len) memory that this process and all it spawns share: called once, by the
 * first process of a cluster.  The range is zeroed; both numbers are multiples of 64 kB.
 */
PGLITE(process_window) extern int32_t k_process_window(void *window, uint32_t len);
/*
 * A new process with a copy of this one's memory; it starts in the exported function pgl_child.
 * Returns its pid, or minus a WASI error number.
 */
PGLITE(process_spawn) extern int32_t k_process_spawn(void);
/* The next ended child (or that one): its pid and wait status; 0 when none has ended yet. Or minus an error. */
PGLITE(process_wait) extern int32_t k_process_wait(int32_t pid, int32_t *status);
/* Sleeps until woken (by a signal, or process_wake); returns at once if that has happened since the last sleep. */
PGLITE(process_sleep) extern void k_process_sleep(void);
PGLITE(process_wake) extern void k_process_wake(int32_t pid);
PGLITE(process_yield) extern void k_process_yield(void);
/* Whether this process was made from an image and has not asked yet; then 24 bytes about it, a PglCopy. Or minus an error. */
PGLITE(process_copy) extern int32_t k_process_copy(void *copy);
/* syncfs(2): all that was written to the file system of this file is on stable storage on return. */
PGLITE(fd_sync_file_system) extern int32_t k_fd_sync_file_system(int32_t fd);
/* Binds to a name in the cluster's own space of listeners; clients in this host process connect to it. */
PGLITE(sock_bind_local) extern int32_t k_sock_bind_local(int32_t fd, const char *name, uint32_t len);

/*
 * Connects to an address: struct sockaddr_in, _in6 or _un as the headers have them.  A path is looked for
 * among the cluster's own listeners first, then on the host.
 */
PGLITE(sock_connect) extern int32_t k_sock_connect(int32_t fd, const void *address, uint32_t len);
/* getsockname and getpeername. */
PGLITE(sock_local_address) extern int32_t k_sock_local_address(int32_t fd, void *address, uint32_t *len);
PGLITE(sock_peer_address) extern int32_t k_sock_peer_address(int32_t fd, void *address, uint32_t *len);
/* Options whose value is an int, with the numbers of the headers.  SO_ERROR is an error number of ours. */
PGLITE(sock_set_option) extern int32_t k_sock_set_option(int32_t fd, int32_t level, int32_t option, int32_t value);
PGLITE(sock_get_option) extern int32_t k_sock_get_option(int32_t fd, int32_t level, int32_t option, int32_t *value);
/* Who is at the other end; for PGL_PEER_OTHER_USER with the user's number on the host.  ENOTSUP for TCP. */
#define PGL_PEER_PROGRAM	0	/* the program that embeds the cluster */
#define PGL_PEER_SAME_USER	1	/* a process of the cluster, or one of the same user as this program */
#define PGL_PEER_OTHER_USER 2
PGLITE(sock_peer_identity) extern int32_t k_sock_peer_identity(int32_t fd, int32_t *who, uint32_t *user);
/*
 * The addresses of a host name, by the host's resolver: up to that many, PGL_ADDRESS_SIZE bytes each, a
 * struct sockaddr_in or _in6 with port 0.  EINTR when the process is woken: to be called again then, it
 * goes on waiting for the same answer.  ENOENT for a name that has no address.
 */
#define PGL_ADDRESS_SIZE	32
PGLITE(resolve_name) extern int32_t k_resolve_name(const char *name, uint32_t len, void *addresses, uint32_t room,
												   uint32_t *count);
/* A subscription of poll_oneoff beside WASI's, laid out as fd_read's: the peer will send nothing more. */
#define PGL_EVENTTYPE_FD_CLOSED 3

/* ---- side modules: src/kernel/linker ---- */

struct pgl_side_module
{
	int32_t		handle;			/* from 1 on */
	uint32_t	size;			/* bytes of memory that it needs */
	uint32_t	align;			/* of those, a power of two */
	int32_t		is_loaded;		/* nothing is left to do */
};

/* Finds a module by its path in the guest's tree. After an error of this or the next two, k_dl_message says more. */
PGLITE(dl_open) extern int32_t k_dl_open(const char *path, uint32_t len, struct pgl_side_module *module);
/* Links it at this memory, which is zeroed; what is to be called then, in this order, each possibly NULL. */
PGLITE(dl_link) extern int32_t k_dl_link(int32_t handle, void *memory, void (*initialise[2]) (void));
/* The address of an exported function or variable. */
PGLITE(dl_symbol) extern int32_t k_dl_symbol(int32_t handle, const char *name, uint32_t len, void **address);
/* The text of the last error: as much of it as there is room for, and how much that is. */
PGLITE(dl_message) extern int32_t k_dl_message(char *buffer, uint32_t size);

/* TLS: include/pgl_tls.h, which Postgres' sources include too. */

/* ---- the shim's own ---- */

extern int	pgl_result(int32_t error);	/* 0, or -1 with errno set */
extern void pgl_dispatch_signals(void); /* runs the handlers of pending, unmasked signals */
extern void pgl_process_start(void);	/* makes this instance known to the kernel */
extern void *pgl_window_main(size_t size);	/* zeroed room for the main shared memory segment, or NULL */
_Noreturn extern void pgl_terminate(int status);	/* ends the process with a wait status */

/* No wait status: the instance was left by pgl_park(), and is entered again at pgl_unpark. */
#define PGL_PARKED	(1 << 16)

#endif
