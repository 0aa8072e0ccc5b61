/*
 * POSIX shared memory does not exist here: dynamic_shared_memory_type is sysv, whose segments are in
 * the window. Postgres links these calls all the same.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/types.h>

int
shm_open(const char *name, int flags, mode_t mode)
{
	errno = ENOSYS;
	return -1;
}

int
shm_unlink(const char *name)
{
	errno = ENOSYS;
	return -1;
}
