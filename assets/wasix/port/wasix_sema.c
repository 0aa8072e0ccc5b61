/*-------------------------------------------------------------------------
 *
 * wasix_sema.c
 *	  Semaphores: a counter in shared memory and the kernel's per-process sleep.
 *
 * Only the owner of a PGPROC ever waits on its semaphore, so one waiter is all there can be: it leaves
 * its pid, and whoever unlocks wakes that process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/pg_sema.h"
#include "storage/shmem.h"

extern void pgl_sleep(void);
extern void pgl_wake(int pid);

/* Padded so that no two share a cache line (or an adjacent-line prefetch). */
typedef struct PGSemaphoreData
{
	int			count;
	int			waiter;			/* pid, or 0 */
	char		pad[120];
} PGSemaphoreData;

static PGSemaphore semaphores;
static int	used;
static int	reserved;

Size
PGSemaphoreShmemSize(int maxSemas)
{
	return mul_size(maxSemas, sizeof(PGSemaphoreData));
}

void
PGReserveSemaphores(int maxSemas)
{
	semaphores = ShmemAllocUnlocked(PGSemaphoreShmemSize(maxSemas));
	reserved = maxSemas;
	used = 0;
}

PGSemaphore
PGSemaphoreCreate(void)
{
	PGSemaphore sema;

	Assert(!IsUnderPostmaster);
	if (used >= reserved)
		elog(PANIC, "too many semaphores created");
	sema = &semaphores[used++];
	sema->count = 1;
	sema->waiter = 0;
	return sema;
}

void
PGSemaphoreReset(PGSemaphore sema)
{
	__atomic_store_n(&sema->count, 0, __ATOMIC_SEQ_CST);
}

bool
PGSemaphoreTryLock(PGSemaphore sema)
{
	int			count = __atomic_load_n(&sema->count, __ATOMIC_SEQ_CST);

	while (count > 0)
		if (__atomic_compare_exchange_n(&sema->count, &count, count - 1, false,
										__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return true;
	return false;
}

void
PGSemaphoreLock(PGSemaphore sema)
{
	if (PGSemaphoreTryLock(sema))
		return;
	__atomic_store_n(&sema->waiter, MyProcPid, __ATOMIC_SEQ_CST);
	/* Handlers run in pgl_sleep(), as they would in a semaphore call that retries after EINTR. */
	while (!PGSemaphoreTryLock(sema))
		pgl_sleep();
	__atomic_store_n(&sema->waiter, 0, __ATOMIC_SEQ_CST);
}

void
PGSemaphoreUnlock(PGSemaphore sema)
{
	int			waiter;

	__atomic_fetch_add(&sema->count, 1, __ATOMIC_SEQ_CST);
	waiter = __atomic_load_n(&sema->waiter, __ATOMIC_SEQ_CST);
	if (waiter != 0)
		pgl_wake(waiter);
}
