/*
 * The window: a range of memory that the kernel maps to the same shared memory in every process of a
 * cluster, at the same address.  Its head is Postgres' main segment, its tail serves System V segments
 * (dynamic_shared_memory_type = sysv); the table of those lives in the window too.
 *
 * It is made when Postgres asks for its main segment, so that it has the size that this configuration
 * needs: memory is grown by it, and children find it where their parent had it.  Nothing here clears
 * memory that has never been used: a fresh mapping is zero, and touching 150 MB costs a tenth of a second.
 */
#include <sys/types.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <errno.h>
#include <string.h>
#include "pglite.h"

#define WASM_PAGE 65536u
#define TAIL_SIZE (512u << 20)	/* addresses only: pages take room when they are written */
#define SEGMENT_ALIGN WASM_PAGE
#define MAX_SEGMENTS 1024

static char *window;
static unsigned main_size;
static unsigned window_size;

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
	unsigned	high_water;		/* end of the tail ever used: beyond it all is zero */
	Segment		segments[MAX_SEGMENTS];
} SegmentTable;

#define TABLE ((SegmentTable *) (window + main_size))
#define TAIL_START (main_size + SEGMENT_ALIGN)
_Static_assert(sizeof(SegmentTable) <= SEGMENT_ALIGN, "the table outgrew its room");

/* Grows memory by the window; NULL when that is too much for 32 bits. */
static char *
make_window(size_t size)
{
	size_t		total = size + TAIL_SIZE;
	size_t		old_pages;

	if (total < size)
		return NULL;
	old_pages = __builtin_wasm_memory_grow(0, total / WASM_PAGE);
	if (old_pages == (size_t) -1)
		return NULL;
	if (k_process_window((char *) (old_pages * WASM_PAGE), total) != 0)
		return NULL;
	main_size = size;
	window_size = total;
	return (char *) (old_pages * WASM_PAGE);
}

void *
pgl_window_main(size_t size)
{
	size = (size + WASM_PAGE - 1) & ~(size_t) (WASM_PAGE - 1);
	if (!window)
		return window = make_window(size);

	/* The postmaster starts over after a crash: all of the memory may have been used. */
	if (size > main_size)
		return NULL;
	memset(window, 0, main_size);
	memset(TABLE, 0, sizeof(SegmentTable));
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
		if (at > window_size - size)
			return 0;
	}
	return at;
}

static int
create_segment(key_t key, size_t asked)
{
	unsigned	size = (asked + SEGMENT_ALIGN - 1) & ~(SEGMENT_ALIGN - 1);
	unsigned	at;

	if (asked == 0 || asked > window_size - TAIL_START)
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

	if (!window)
	{
		errno = ENOSPC;
		return -1;
	}
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
