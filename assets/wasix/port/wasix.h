/* src/include/port/wasix.h */

#define PLATFORM_DEFAULT_WAL_SYNC_METHOD	WAL_SYNC_METHOD_FDATASYNC

/* Every process is a Wasm instance on a thread of its own; see assets/wasix/pglite.h. */
extern void pgl_dispatch_signals(void);
extern int	pgl_spawn(void);

/* Leaving an instance and going on, see patch 0008. A copy is told what it must not share with its original. */
typedef struct PglCopy
{
	int			session;		/* the pid of the session that goes on */
	int			cancel_key;		/* and that session's key */
	unsigned long long system_identifier;
	int			port;			/* what SHOW port says; 0 if it stays */
	int			unused;
} PglCopy;

extern void pgl_park(void) __attribute__((noreturn));
extern int	pgl_is_copy(PglCopy *copy); /* at most once true in each copy */
extern void pgl_unpark_session(void);
extern void pgl_unpark_postmaster(void);
extern void pgl_refresh_postmaster(int session, int cancel_key);
extern void pgl_refresh_random(void);
extern void pgl_refresh_system_identifier(unsigned long long identifier);

/*
 * Wasmer's LLVM back end drops atomic.fence, but keeps atomic accesses in order (both against the
 * hardware and the optimiser): a full barrier is an atomic exchange on a word of our own.  On x86 a
 * load is enough for read and write barriers; the Wasm is the same on every CPU, so all three pay for
 * the exchange.
 */
extern unsigned int pgl_barrier_word;
#define pg_memory_barrier_impl() ((void) __atomic_exchange_n(&pgl_barrier_word, 0, __ATOMIC_SEQ_CST))
#define pg_read_barrier_impl()	 pg_memory_barrier_impl()
#define pg_write_barrier_impl()	 pg_memory_barrier_impl()

/*
 * Bytes of measured stack that each frame with a stack-depth check takes (patch 0004). The ceiling of
 * max_stack_depth, 7.5 MB, divided by this is the deepest recursion; the kernel's native stack has room
 * for that many frames of every checking function.
 */
#define PGL_FRAME_SIZE 176

/* wasi-libc declares it, nothing serves it: dynamic shared memory is System V segments (window.c). */
#undef HAVE_SHM_OPEN

/* Without USE_OPENSSL: the kernel has TLS for servers, see src/backend/libpq/be-secure-kernel.c. Not for libpq. */
#ifndef FRONTEND
#define USE_SSL 1
#endif
