/*
 * The window: one static array that the kernel maps to the same shared memory in every process of a
 * cluster, at the same address.  Its head is Postgres' main segment, its tail serves System V segments
 * (dynamic_shared_memory_type = sysv); the table of those lives in the window too.
 *
 * Nothing here clears memory that has never been used: a fresh mapping is zero, and touching 150 MB
 * costs a tenth of a second.
 */
#include <sys/types.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <errno.h>
#include <string.h>
#include "pglite.h"

#define WINDOW_SIZE (768u << 20)
#define MAIN_SIZE (512u << 20)
#define SEGMENT_ALIGN 65536u
#define MAX_SEGMENTS 1024

_Alignas(65536) static char window[WINDOW_SIZE];

typedef struct Segment
{
	key_t		key;
	int			live;
	int			removed;
	unsigned	attached;
	unsigned	offset;
	unsigned	size;
} Segment;

typedef struct SegmentTable
{
	int			lock;
	unsigned	main_used;		/* bytes of the main segment that have been handed out before */
	unsigned	high_water;		/* end of the tail ever used: beyond it all is zero */
	Segment		segments[MAX_SEGMENTS];
} SegmentTable;

#define TABLE ((SegmentTable *) (window + MAIN_SIZE))
#define TAIL_START (MAIN_SIZE + SEGMENT_ALIGN)
_Static_assert(sizeof(SegmentTable) <= SEGMENT_ALIGN, "the table outgrew its room");

void *
pgl_window_base(void)
{
	return window;
}

size_t
pgl_window_size(void)
{
	return sizeof(window);
}

void *
pgl_window_main(size_t size)
{
	if (size > MAIN_SIZE)
		return NULL;
	/* A second call is the postmaster starting over after a crash: that memory has been used. */
	memset(window, 0, TABLE->main_used);
	TABLE->main_used = size;
	return window;
}

static void
lock_table(void)
{
	while (__atomic_exchange_n(&TABLE->lock, 1, __ATOMIC_SEQ_CST))
		k_process_yield();
}

static void
unlock_table(void)
{
	__atomic_store_n(&TABLE->lock, 0, __ATOMIC_SEQ_CST);
}

static Segment *
find_key(key_t key)
{
	for (int i = 1; i < MAX_SEGMENTS; i++)
		if (TABLE->segments[i].live && !TABLE->segments[i].removed && TABLE->segments[i].key == key)
			return &TABLE->segments[i];
	return NULL;
}

/* First fit among the live segments; 0 when nothing is free. */
static unsigned
find_room(unsigned size)
{
	unsigned	at = TAIL_START;

	for (int i = 1; i < MAX_SEGMENTS; i++)
	{
		Segment    *s = &TABLE->segments[i];

		if (s->live && at < s->offset + s->size && s->offset < at + size)
		{
			at = s->offset + s->size;
			i = 0;				/* look at all of them again from here */
		}
		if (at > WINDOW_SIZE - size)
			return 0;
	}
	return at;
}

static int
create_segment(key_t key, size_t asked)
{
	unsigned	size = (asked + SEGMENT_ALIGN - 1) & ~(SEGMENT_ALIGN - 1);
	unsigned	at;

	if (asked == 0 || asked > WINDOW_SIZE - TAIL_START)
	{
		errno = EINVAL;
		return -1;
	}
	for (int i = 1; i < MAX_SEGMENTS; i++)
	{
		if (TABLE->segments[i].live)
			continue;
		at = find_room(size);
		if (at == 0)
			break;
		TABLE->segments[i] = (Segment)
		{
			.key = key, .live = 1, .offset = at, .size = size
		};
		if (at < TABLE->high_water)
			memset(window + at, 0, size);
		if (TABLE->high_water < at + size)
			TABLE->high_water = at + size;
		return i;
	}
	errno = ENOSPC;
	return -1;
}

int
shmget(key_t key, size_t size, int flags)
{
	Segment    *found;
	int			id;

	lock_table();
	found = key == IPC_PRIVATE ? NULL : find_key(key);
	if (found && (flags & IPC_CREAT) && (flags & IPC_EXCL))
	{
		errno = EEXIST;
		id = -1;
	}
	else if (found)
		id = found - TABLE->segments;
	else if (!(flags & IPC_CREAT))
	{
		errno = ENOENT;
		id = -1;
	}
	else
		id = create_segment(key, size);
	unlock_table();
	return id;
}

static Segment *
live_segment(int id)
{
	if (id < 1 || id >= MAX_SEGMENTS || !TABLE->segments[id].live)
	{
		errno = EINVAL;
		return NULL;
	}
	return &TABLE->segments[id];
}

void *
shmat(int id, const void *address, int flags)
{
	Segment    *s;

	lock_table();
	s = live_segment(id);
	if (s)
		s->attached++;
	unlock_table();
	return s ? window + s->offset : (void *) -1;
}

int
shmdt(const void *address)
{
	int			result = -1;

	lock_table();
	for (int i = 1; i < MAX_SEGMENTS; i++)
	{
		Segment    *s = &TABLE->segments[i];

		if (s->live && window + s->offset == address)
		{
			if (s->attached > 0)
				s->attached--;
			if (s->removed && s->attached == 0)
				s->live = 0;
			result = 0;
			break;
		}
	}
	unlock_table();
	if (result < 0)
		errno = EINVAL;
	return result;
}

int
shmctl(int id, int command, struct shmid_ds *info)
{
	Segment    *s;

	lock_table();
	s = live_segment(id);
	if (s && command == IPC_STAT)
	{
		memset(info, 0, sizeof(*info));
		info->shm_segsz = s->size;
		info->shm_nattch = s->attached;
	}
	else if (s && command == IPC_RMID)
	{
		s->removed = 1;
		if (s->attached == 0)
			s->live = 0;
	}
	unlock_table();
	return s ? 0 : -1;
}
