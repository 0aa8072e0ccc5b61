/*
 * Adding rows to an index of hnsw.
 */
#include "hnsw.h"

#include <math.h>

#include "common/pg_prng.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

/* The highest layer of a new element. */
static uint32
RandomLevel(const HnswInfo *info)
{
	/* From above 0 up to 1. */
	double		uniform = 1.0 - pg_prng_double(&pg_global_prng_state);
	double		level = -log(uniform) / log(info->settings.m);

	return (uint32) Min(level, info->highest_level);
}

/*
 * Inserts are made at the same time, but for one that changes where searches begin: of two first elements, one would not
 * be linked with the other.
 */
static void
LockInsert(HnswAccess *access, bool alone)
{
	if (access->build_lock != NULL)
		HnswLockBuild(access->build_lock, alone);
	else if (!access->building)
		LockPage(access->index, HNSW_UPDATE_LOCK, alone ? ExclusiveLock : ShareLock);
}

static void
UnlockInsert(HnswAccess *access, bool alone)
{
	if (access->build_lock != NULL)
		HnswUnlockBuild(access->build_lock);
	else if (!access->building)
		UnlockPage(access->index, HNSW_UPDATE_LOCK, alone ? ExclusiveLock : ShareLock);
}

/*
 * Adds a row to an element with the same code, or a new element.
 */
void
HnswInsertCode(HnswAccess *access, HnswCode code, ItemPointer row)
{
	const HnswInfo *info = access->info;
	uint32		level = RandomLevel(info);
	HnswCode	kept = {code.data, HnswKeptLength(info, code)};
	HnswInsertion *insertion;
	HnswElement *element;
	HnswLinks  *links;
	Failure		failure;
	uint64		entry;
	uint32		entry_level;
	uint64		id;
	bool		highest;

	LockInsert(access, false);
	HnswGetEntry(access, &entry, &entry_level);
	highest = entry == 0 || level > entry_level;
	if (highest)
	{
		UnlockInsert(access, false);
		LockInsert(access, true);
	}

	HnswCheckStatus(ruvector_hnsw_insert_plan(access, &info->settings, code.data, code.length, level, &insertion,
											  &failure), &failure);
	for (uint32 i = 0;; i++)
	{
		uint64		twin = ruvector_hnsw_insert_twin(insertion, i);

		if (twin == 0)
			break;
		if (HnswAddRow(access, twin, kept, row))
			goto done;
	}

	element = palloc0(HnswElementSize(kept.length));
	element->type = HNSW_ELEMENT;
	element->level = level;
	element->row_count = 1;
	element->code_length = kept.length;
	element->rows[0] = *row;
	memcpy(element->code, kept.data, kept.length);
	links = palloc0(HnswLinksSize(level, info->settings.m));
	links->type = HNSW_LINKS;
	links->level = level;
	ruvector_hnsw_insert_links(insertion, links->links);

	id = HnswAddElement(access, element, links);
	HnswCheckStatus(ruvector_hnsw_insert_link(insertion, access, id, &failure), &failure);
	if (highest)
		HnswSetEntry(access, id, level, false);

done:
	ruvector_hnsw_insert_free(insertion);
	UnlockInsert(access, highest);
}

bool
hnswinsert(Relation index, Datum *values, bool *isnull, ItemPointer row, Relation heap,
		   IndexUniqueCheck check_unique, bool unchanged, IndexInfo *index_info)
{
	HnswAccess	access = {.index = index};
	MemoryContext old_context;
	MemoryContext context;
	HnswCode	code;
	Datum		value;

	if (isnull[0])
		return false;

	context = AllocSetContextCreate(CurrentMemoryContext, "hnsw insert", ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	/* First, as it may open a table, by which what is remembered of the index may go. */
	value = PointerGetDatum(Detoasted(values[0]));
	access.info = HnswCopyInfo(HnswGetInfo(index), context);
	if (HnswIsUntrained(access.info))
	{
		HnswTrainFirst(index, value);
		access.info = HnswCopyInfo(HnswGetInfo(index), context);
	}
	if (HnswFormCode(access.info, value, &code))
		HnswInsertCode(&access, code, row);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	return false;
}
