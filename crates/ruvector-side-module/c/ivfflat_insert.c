/*
 * Insertion into an index `ivfflat`.
 */
#include "ivfflat.h"

#include "access/generic_xlog.h"
#include "utils/memutils.h"

typedef struct Nearest
{
	double		distance;
	bool		found;
	IvfflatListPlace place;
	BlockNumber insert;
} Nearest;

static void
VisitList(void *state, IvfflatListPlace place, const IvfflatList *list, double distance)
{
	Nearest    *nearest = state;

	if (nearest->found && !(distance < nearest->distance))
		return;
	nearest->found = true;
	nearest->distance = distance;
	nearest->place = place;
	nearest->insert = list->insert;
}

/*
 * Puts a tuple on a page and releases the buffer, which is locked.
 */
static void
PutOnPage(Relation index, Buffer buffer, IndexTuple tuple, Size size)
{
	GenericXLogState *record = GenericXLogStart(index);
	Page		page = GenericXLogRegisterBuffer(record, buffer, 0);

	if (PageAddItem(page, (Item) tuple, size, InvalidOffsetNumber, false, false) == InvalidOffsetNumber)
		elog(ERROR, "failed to add index item to \"%s\"", RelationGetRelationName(index));
	GenericXLogFinish(record);
	UnlockReleaseBuffer(buffer);
}

/*
 * Puts a tuple on a new page behind the last one of a list, whose buffer is locked and released here. No other session
 * can add a page there as long as the last one is locked, and none knows the new one before they are linked, so that
 * nothing can wait for each other.
 */
static BlockNumber
PutOnNewPage(Relation index, Buffer last, IndexTuple tuple, Size size)
{
	Buffer		buffer = ExtendBufferedRel(BMR_REL(index), MAIN_FORKNUM, NULL, EB_LOCK_FIRST);
	BlockNumber block = BufferGetBlockNumber(buffer);
	GenericXLogState *record = GenericXLogStart(index);
	Page		last_page = GenericXLogRegisterBuffer(record, last, 0);
	Page		page = GenericXLogRegisterBuffer(record, buffer, GENERIC_XLOG_FULL_IMAGE);

	IvfflatInitPage(page);
	if (PageAddItem(page, (Item) tuple, size, InvalidOffsetNumber, false, false) == InvalidOffsetNumber)
		elog(ERROR, "failed to add index item to \"%s\"", RelationGetRelationName(index));
	IvfflatPageTail(last_page)->next = block;
	GenericXLogFinish(record);
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(last);
	return block;
}

static void
Insert(Relation index, Datum value, ItemPointer tid)
{
	IvfflatSupport support;
	IvfflatQuery query;
	IvfflatChain chain;
	Nearest		nearest = {.insert = InvalidBlockNumber};
	IndexTuple	tuple;
	Size		size;
	BlockNumber block;
	bool		isnull = false;
	int			lists;

	IvfflatLoadSupport(index, &support);
	if (!IvfflatStoredValue(&support, &value))
		return;
	query = IvfflatMakeQuery(&support, value);

	/* An error if there is no index yet. */
	IvfflatReadMeta(index, &lists, NULL);
	IvfflatVisitLists(index, &support, &query, VisitList, &nearest);
	if (!nearest.found)
		IvfflatCorrupt(index, IVFFLAT_FIRST_LIST_BLOCK, "It has no lists.");

	tuple = index_form_tuple(RelationGetDescr(index), &value, &isnull);
	tuple->t_tid = *tid;
	size = MAXALIGN(IndexTupleSize(tuple));

	chain = IvfflatStartChain(index);
	block = nearest.insert;
	for (;;)
	{
		Buffer		buffer;
		Page		page;
		BlockNumber next;

		IvfflatNextInChain(&chain, block);
		buffer = ReadBuffer(index, block);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		page = IvfflatCheckPage(index, buffer);
		if (PageGetFreeSpace(page) >= size)
		{
			PutOnPage(index, buffer, tuple, size);
			break;
		}
		next = IvfflatPageTail(page)->next;
		if (!BlockNumberIsValid(next))
		{
			block = PutOnNewPage(index, buffer, tuple, size);
			break;
		}
		UnlockReleaseBuffer(buffer);
		block = next;
	}

	/* Not if vacuum has found room before it in the meantime, or another session has come further. */
	if (block != nearest.insert)
		IvfflatMoveInsertPage(index, nearest.place, nearest.insert, block);
}

bool
ivfflat_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
			   IndexUniqueCheck check_unique, bool unchanged, IndexInfo *info)
{
	MemoryContext context;
	MemoryContext caller;

	if (isnull[0])
		return false;

	context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat insertion", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	Insert(index, values[0], tid);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return false;
}
