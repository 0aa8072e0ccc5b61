/*
 * Removing rows from an index of hnsw, in three passes: rows are removed from elements, those without any left are taken
 * out of the links of others, and are removed.
 */
#include "hnsw.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

typedef struct VacuumState
{
	HnswAccess	access;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_state;
	MemoryContext context;		/* for one element */
	/* Elements without rows, in the order of their names. */
	uint64	   *dead;
	Size		dead_count;
	Size		dead_room;
	/* An element of the highest layer that has rows. */
	uint64		highest;
	uint32		highest_level;
} VacuumState;

static int
CompareIds(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

static bool
IsDead(const void *argument, uint64 id)
{
	const VacuumState *state = argument;

	return state->dead_count > 0 && bsearch(&id, state->dead, state->dead_count, sizeof(uint64), CompareIds) != NULL;
}

static void
AddDead(VacuumState *state, uint64 id)
{
	if (state->dead_count == state->dead_room)
	{
		state->dead_room *= 2;
		state->dead = repalloc_huge(state->dead, state->dead_room * sizeof(uint64));
	}
	state->dead[state->dead_count++] = id;
}

/* The element at an offset, if there is one. */
static HnswElement *
ElementAt(HnswAccess *access, Page page, BlockNumber block, OffsetNumber offset, uint64 *id)
{
	Size		size;
	HnswElement *element = (HnswElement *) HnswGetItem(access->index, page, block, offset, &size);

	if (element == NULL || element->type != HNSW_ELEMENT)
		return NULL;
	*id = HnswId(block, offset, element->version);
	return HnswGetElement(access, page, *id);
}

/* Removes the rows of one element that are to go. Is it other than before? */
static bool
FilterRows(VacuumState *state, HnswElement *element, ItemPointerData *kept, uint8 *kept_count)
{
	*kept_count = 0;
	memset(kept, 0, sizeof(ItemPointerData) * HNSW_ROWS);
	for (int i = 0; i < element->row_count; i++)
	{
		if (state->callback(&element->rows[i], state->callback_state))
			state->stats->tuples_removed++;
		else
			kept[(*kept_count)++] = element->rows[i];
	}
	state->stats->num_index_tuples += *kept_count;
	return *kept_count != element->row_count;
}

static void
RemoveRows(VacuumState *state, BlockNumber block)
{
	HnswAccess *access = &state->access;
	Buffer		buffer = HnswReadBuffer(access, block, BUFFER_LOCK_EXCLUSIVE);
	Page		page = HnswCheckPage(access->index, buffer);
	HnswChange	change;
	Page		changed = NULL;

	for (OffsetNumber offset = FirstOffsetNumber; page != NULL && offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		uint64		id;
		HnswElement *element = ElementAt(access, page, block, offset, &id);
		ItemPointerData kept[HNSW_ROWS];
		uint8		kept_count;

		if (element == NULL)
			continue;
		if (FilterRows(state, element, kept, &kept_count))
		{
			HnswElement *copy;

			if (changed == NULL)
			{
				HnswBeginChange(&change, access);
				changed = HnswChangePage(&change, buffer, false);
			}
			copy = HnswGetElement(access, changed, id);
			memcpy(copy->rows, kept, sizeof(kept));
			copy->row_count = kept_count;
		}
		if (kept_count == 0)
			AddDead(state, id);
		else if (state->highest == 0 || element->level > state->highest_level)
		{
			state->highest = id;
			state->highest_level = element->level;
		}
	}
	if (changed != NULL)
		HnswFinishChange(&change);
	UnlockReleaseBuffer(buffer);
}

/* Gives an element other links. */
static void
Relink(VacuumState *state, uint64 id, uint32 level)
{
	HnswAccess *access = &state->access;
	const HnswSettings *settings = &access->info->settings;
	MemoryContext old_context = MemoryContextSwitchTo(state->context);
	HnswInsertion *insertion;
	Failure		failure;
	int			status;

	status = ruvector_hnsw_relink_plan(access, settings, id, level, &insertion, &failure);
	if (HnswCheckStatus(status, &failure) == HNSW_DONE)
	{
		uint64	   *links = palloc0(sizeof(uint64) * HnswLinkCount(level, settings->m));

		ruvector_hnsw_insert_links(insertion, links);
		HnswFillLinks(access, id, links, IsDead, state);
		HnswCheckStatus(ruvector_hnsw_insert_link(insertion, access, id, &failure), &failure);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(state->context);
}

/*
 * An element with rows that was added after the first pass had seen its page. Nothing is being added.
 */
static uint64
FindLive(VacuumState *state, uint32 *level)
{
	HnswAccess *access = &state->access;
	BlockNumber blocks = RelationGetNumberOfBlocks(access->index);
	uint64		found = 0;

	for (BlockNumber block = access->info->first_block; block < blocks; block++)
	{
		Buffer		buffer = HnswReadBuffer(access, block, BUFFER_LOCK_SHARE);
		Page		page = HnswCheckPage(access->index, buffer);

		for (OffsetNumber offset = FirstOffsetNumber; page != NULL && offset <= PageGetMaxOffsetNumber(page); offset++)
		{
			uint64		id;
			HnswElement *element = ElementAt(access, page, block, offset, &id);

			if (element != NULL && element->row_count > 0 && (found == 0 || element->level > *level))
			{
				found = id;
				*level = element->level;
			}
		}
		UnlockReleaseBuffer(buffer);
		vacuum_delay_point();
	}
	return found;
}

/* Lets searches begin at an element that stays. */
static void
RepairEntry(VacuumState *state)
{
	HnswAccess *access = &state->access;
	uint64		entry;
	uint32		level;

	LockPage(access->index, HNSW_UPDATE_LOCK, ExclusiveLock);
	HnswGetEntry(access, &entry, &level);
	if (entry != 0 && IsDead(state, entry))
	{
		uint64		other = state->highest;
		uint32		other_level = state->highest_level;

		/* Found from where searches begin as yet, so that it has links by which all others are found. */
		if (other != 0)
			Relink(state, other, other_level);
		else
			other = FindLive(state, &other_level);
		HnswSetEntry(access, other, other != 0 ? other_level : 0, true);
	}
	UnlockPage(access->index, HNSW_UPDATE_LOCK, ExclusiveLock);
}

/*
 * Has an element links to elements that are removed, or too few? The latter may come from many candidates having been
 * about to be removed when it was added.
 */
static bool
NeedsRelink(VacuumState *state, HnswElement *element, uint64 id, Buffer buffer, Page page)
{
	HnswAccess *access = &state->access;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&element->links);
	uint32		m = access->info->settings.m;
	Buffer		links_buffer = buffer;
	HnswLinks  *links;
	bool		needed = false;

	if (block != HnswIdBlock(id))
	{
		/* That of an element, and then that of its links, as elsewhere. */
		links_buffer = HnswReadBuffer(access, block, BUFFER_LOCK_SHARE);
		page = HnswCheckPage(access->index, links_buffer);
	}
	links = HnswGetLinks(access, page, block, ItemPointerGetOffsetNumberNoCheck(&element->links),
						 HnswIdVersion(id), element->level);
	if (links != NULL)
	{
		for (Size i = 0; !needed && i < HnswLinkCount(element->level, m); i++)
			needed = links->links[i] == 0 ? i < 2 * m : IsDead(state, links->links[i]);
	}
	if (links_buffer != buffer)
		UnlockReleaseBuffer(links_buffer);
	return needed;
}

static void
RepairElement(VacuumState *state, uint64 id, uint32 level)
{
	HnswAccess *access = &state->access;
	LOCKMODE	mode = ShareLock;
	uint64		entry;
	uint32		entry_level;

	LockPage(access->index, HNSW_UPDATE_LOCK, mode);
	HnswGetEntry(access, &entry, &entry_level);
	if (entry == 0 || level > entry_level)
	{
		UnlockPage(access->index, HNSW_UPDATE_LOCK, mode);
		mode = ExclusiveLock;
		LockPage(access->index, HNSW_UPDATE_LOCK, mode);
	}
	Relink(state, id, level);
	if (mode == ExclusiveLock)
		HnswSetEntry(access, id, level, false);
	UnlockPage(access->index, HNSW_UPDATE_LOCK, mode);
}

static void
RepairPage(VacuumState *state, BlockNumber block)
{
	HnswAccess *access = &state->access;
	Buffer		buffer = HnswReadBuffer(access, block, BUFFER_LOCK_SHARE);
	Page		page = HnswCheckPage(access->index, buffer);
	uint64		ids[MaxOffsetNumber];
	uint8		levels[MaxOffsetNumber];
	int			count = 0;

	/* Not while the page is locked. */
	for (OffsetNumber offset = FirstOffsetNumber; page != NULL && offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		uint64		id;
		HnswElement *element = ElementAt(access, page, block, offset, &id);

		if (element != NULL && element->row_count > 0 && NeedsRelink(state, element, id, buffer, page))
		{
			ids[count] = id;
			levels[count++] = element->level;
		}
	}
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < count; i++)
		RepairElement(state, ids[i], levels[i]);
}

/*
 * Removes one element and its links from a page that is to be changed; the links may be on another one, which is then
 * locked. It is returned for the change to be finished.
 */
static Buffer
RemoveElement(HnswAccess *access, HnswChange *change, Page page, uint64 id)
{
	HnswElement *element = HnswGetElement(access, page, id);
	Buffer		links_buffer = InvalidBuffer;
	Page		links_page = page;
	BlockNumber block;
	OffsetNumber offset;
	HnswLinks  *links;

	if (element == NULL || element->row_count > 0)
		return InvalidBuffer;
	block = ItemPointerGetBlockNumberNoCheck(&element->links);
	offset = ItemPointerGetOffsetNumberNoCheck(&element->links);
	if (block != HnswIdBlock(id))
	{
		links_buffer = HnswReadBuffer(access, block, BUFFER_LOCK_EXCLUSIVE);
		if (HnswCheckPage(access->index, links_buffer) == NULL)
			HnswCorrupted(access->index, block);
		links_page = HnswChangePage(change, links_buffer, false);
	}
	links = HnswGetLinks(access, links_page, block, offset, HnswIdVersion(id), element->level);
	if (links != NULL)
	{
		PageIndexTupleDeleteNoCompact(links_page, offset);
		PageSetHasFreeLinePointers(links_page);
	}
	PageIndexTupleDeleteNoCompact(page, HnswIdOffset(id));
	PageSetHasFreeLinePointers(page);
	return links_buffer;
}

/* Removes elements of one page, or the first of them if its links are on another one. How many? */
static Size
RemoveElements(VacuumState *state, const uint64 *ids, Size count)
{
	HnswAccess *access = &state->access;
	BlockNumber block = HnswIdBlock(ids[0]);
	Buffer		buffer = HnswReadBuffer(access, block, BUFFER_LOCK_EXCLUSIVE);
	Buffer		links_buffer = InvalidBuffer;
	HnswChange	change;
	Page		page;
	Size		removed = 0;

	if (HnswCheckPage(access->index, buffer) == NULL)
		HnswCorrupted(access->index, block);
	HnswBeginChange(&change, access);
	page = HnswChangePage(&change, buffer, false);
	while (removed < count && HnswIdBlock(ids[removed]) == block && !BufferIsValid(links_buffer))
		links_buffer = RemoveElement(access, &change, page, ids[removed++]);
	HnswFinishChange(&change);

	if (BufferIsValid(links_buffer))
	{
		RecordPageWithFreeSpace(access->index, BufferGetBlockNumber(links_buffer),
								PageGetExactFreeSpace(BufferGetPage(links_buffer)));
		UnlockReleaseBuffer(links_buffer);
	}
	RecordPageWithFreeSpace(access->index, block, PageGetExactFreeSpace(BufferGetPage(buffer)));
	UnlockReleaseBuffer(buffer);
	return removed;
}

/*
 * Links elements that searches cannot come by: an element that was removed may have had the only link to them. All links
 * are read into memory for that; in a large index, if that may not take so much, they stay as they are.
 */
static void
Reconnect(VacuumState *state)
{
	HnswAccess *access = &state->access;
	/* Links are at most half of an index, about. */
	uint64		memory = (uint64) RelationGetNumberOfBlocks(access->index) * (BLCKSZ / 2);

	for (int attempt = 0; attempt < 3 && memory / 1024 <= (uint64) maintenance_work_mem; attempt++)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw reconnect", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old_context = MemoryContextSwitchTo(context);
		Size		count;
		uint8	   *levels;
		uint64	   *lost = HnswFindUnreachable(access, &count, &levels);

		for (Size i = 0; i < count; i++)
		{
			RepairElement(state, lost[i], levels[i]);
			vacuum_delay_point();
		}
		MemoryContextSwitchTo(old_context);
		MemoryContextDelete(context);
		if (count == 0)
			break;
	}
}

IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, IndexBulkDeleteCallback callback,
			   void *callback_state)
{
	Relation	index = info->index;
	VacuumState state = {0};
	BlockNumber blocks;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	state.access.index = index;
	/* What is remembered may go meanwhile. */
	state.access.info = HnswCopyInfo(HnswGetInfo(index), CurrentMemoryContext);
	state.access.strategy = info->strategy;
	state.stats = stats;
	state.callback = callback;
	state.callback_state = callback_state;
	state.context = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
	state.dead_room = 256;
	state.dead = palloc(sizeof(uint64) * state.dead_room);

	blocks = RelationGetNumberOfBlocks(index);
	for (BlockNumber block = state.access.info->first_block; block < blocks; block++)
	{
		RemoveRows(&state, block);
		vacuum_delay_point();
	}
	if (state.dead_count > 0)
	{
		/* Inserts that began earlier may link to what is dead now; later ones do not. */
		LockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
		UnlockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
		RepairEntry(&state);
		blocks = RelationGetNumberOfBlocks(index);
		for (BlockNumber block = state.access.info->first_block; block < blocks; block++)
		{
			RepairPage(&state, block);
			vacuum_delay_point();
		}

		/* Searches that began earlier may be on their way over what is dead; later ones do not come by. */
		LockPage(index, HNSW_SCAN_LOCK, ExclusiveLock);
		UnlockPage(index, HNSW_SCAN_LOCK, ExclusiveLock);
		for (Size at = 0; at < state.dead_count;)
		{
			at += RemoveElements(&state, state.dead + at, state.dead_count - at);
			vacuum_delay_point();
		}
		Reconnect(&state);
	}
	pfree(state.dead);
	MemoryContextDelete(state.context);
	return stats;
}

IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	/* Without rows to remove, nothing has changed. */
	if (info->analyze_only || stats == NULL)
		return stats;
	IndexFreeSpaceMapVacuum(info->index);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
