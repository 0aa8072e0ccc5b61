/*
 * Removal of dead tuples from an index `ivfflat`.
 *
 * Pages stay in their list, and what is deleted makes room for the next tuples of that list. No lock for cleanup is
 * needed: a scan holds no pin between rows, and it reads nothing but with an MVCC snapshot, to which a new row in the place
 * of a dead one is invisible.
 */
#include "ivfflat.h"

#include "access/generic_xlog.h"
#include "commands/vacuum.h"

/* The lists of one page. */
typedef struct ListPage
{
	int			count;
	BlockNumber next;
	BlockNumber starts[MaxIndexTuplesPerPage];
} ListPage;

static void
ReadListPage(Relation index, BlockNumber block, BufferAccessStrategy strategy, ListPage *lists)
{
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	Page		page;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = IvfflatCheckPage(index, buffer);
	lists->count = PageGetMaxOffsetNumber(page);
	if (lists->count > MaxIndexTuplesPerPage)
		IvfflatCorrupt(index, block, "It has too many items.");
	for (int i = 0; i < lists->count; i++)
	{
		Size		size;
		IvfflatList *list = IvfflatItem(index, block, page, FirstOffsetNumber + i, offsetof(IvfflatList, center), &size);

		lists->starts[i] = list->start;
	}
	lists->next = IvfflatPageTail(page)->next;
	UnlockReleaseBuffer(buffer);
}

/*
 * Removes dead tuples of a page, whose successor is returned.
 */
static BlockNumber
CleanPage(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, BlockNumber block, BufferAccessStrategy strategy,
		  IndexBulkDeleteCallback callback, void *state, bool *deleted)
{
	Relation	index = info->index;
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	OffsetNumber dead[MaxIndexTuplesPerPage];
	int			count = 0;
	Page		page;
	OffsetNumber last;
	BlockNumber next;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = IvfflatCheckPage(index, buffer);
	last = PageGetMaxOffsetNumber(page);
	if (last > MaxIndexTuplesPerPage)
		IvfflatCorrupt(index, block, "It has too many items.");
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		Size		size;
		IndexTuple	tuple = IvfflatItem(index, block, page, offset, sizeof(IndexTupleData), &size);

		if (callback(&tuple->t_tid, state))
			dead[count++] = offset;
		else
			stats->num_index_tuples++;
	}
	next = IvfflatPageTail(page)->next;
	*deleted = count > 0;
	if (count > 0)
	{
		GenericXLogState *record = GenericXLogStart(index);

		PageIndexMultiDelete(GenericXLogRegisterBuffer(record, buffer, 0), dead, count);
		GenericXLogFinish(record);
		stats->tuples_removed += count;
	}
	UnlockReleaseBuffer(buffer);
	return next;
}

IndexBulkDeleteResult *
ivfflat_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats, IndexBulkDeleteCallback callback, void *state)
{
	Relation	index = info->index;
	BufferAccessStrategy strategy = info->strategy;
	IvfflatChain list_chain = IvfflatStartChain(index);
	IvfflatListPlace place = {.block = IVFFLAT_FIRST_LIST_BLOCK};
	ListPage   *lists = palloc(sizeof(ListPage));

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	else
		stats->num_index_tuples = 0;

	for (; BlockNumberIsValid(place.block); place.block = lists->next)
	{
		IvfflatNextInChain(&list_chain, place.block);
		ReadListPage(index, place.block, strategy, lists);
		for (int i = 0; i < lists->count; i++)
		{
			IvfflatChain chain = IvfflatStartChain(index);
			BlockNumber block = lists->starts[i];
			BlockNumber first_with_room = InvalidBlockNumber;

			while (BlockNumberIsValid(block))
			{
				BlockNumber current = block;
				bool		deleted;

				vacuum_delay_point();
				IvfflatNextInChain(&chain, current);
				block = CleanPage(info, stats, current, strategy, callback, state, &deleted);
				if (deleted && !BlockNumberIsValid(first_with_room))
					first_with_room = current;
			}
			if (BlockNumberIsValid(first_with_room))
			{
				place.offset = FirstOffsetNumber + i;
				IvfflatMoveInsertPage(index, place, InvalidBlockNumber, first_with_room);
			}
		}
	}
	pfree(lists);
	return stats;
}

IndexBulkDeleteResult *
ivfflat_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	/* Without a result, the catalogue's figures stay. */
	if (info->analyze_only || stats == NULL)
		return stats;
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	return stats;
}
