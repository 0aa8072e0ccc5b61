/*-------------------------------------------------------------------------
 *
 * wasix_shmem.c
 *	  The main shared memory segment: the head of the window that every process of the cluster has at
 *	  the same address (see assets/wasix/window.c).
 *
 * Whether another server uses the data directory is not asked here: the host holds a lock on it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "miscadmin.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/pg_shmem.h"
#include "utils/guc_hooks.h"

extern void *pgl_window_main(Size size);

unsigned int pgl_barrier_word;
unsigned long UsedShmemSegID = 0;
void	   *UsedShmemSegAddr = NULL;

bool
PGSharedMemoryIsInUse(unsigned long id1, unsigned long id2)
{
	return false;
}

PGShmemHeader *
PGSharedMemoryCreate(Size size, PGShmemHeader **shim)
{
	PGShmemHeader *header;

	size = TYPEALIGN(65536, size);
	header = pgl_window_main(size); /* comes zeroed */
	if (header == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not create shared memory segment of %zu bytes", size),
				 errdetail("All memory of a process is addressed with 32 bits."),
				 errhint("Reduce \"shared_buffers\", \"max_connections\" or \"wal_buffers\".")));

	header->creatorPID = getpid();
	header->magic = PGShmemMagic;
	header->dsm_control = 0;
	header->device = 0;
	header->inode = 0;
	header->totalsize = size;
	header->freeoffset = MAXALIGN(sizeof(PGShmemHeader));

	UsedShmemSegAddr = header;
	*shim = header;
	return header;
}

void
PGSharedMemoryDetach(void)
{
	/* The window stays mapped as long as the process lives. */
}

void
GetHugePageSize(Size *hugepagesize, int *mmap_flags)
{
	if (hugepagesize)
		*hugepagesize = 0;
	if (mmap_flags)
		*mmap_flags = 0;
}

bool
check_huge_page_size(int *newval, void **extra, GucSource source)
{
	if (*newval != 0)
	{
		GUC_check_errdetail("\"huge_page_size\" must be 0 on this platform.");
		return false;
	}
	return true;
}
