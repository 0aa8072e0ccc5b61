/*
 * Scans of an index `ivfflat`, in the order of the distance from a value.
 */
#include "ivfflat.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "varatt.h"

typedef struct IvfflatScan
{
	IvfflatSupport support;
	int			probes;			/* lists at a time */
	int			probes_left;
	bool		started;
	IvfflatQuery query;
	IvfflatQueue lists;			/* whose tid is the list's first page */
	IvfflatQueue rows;
	MemoryContext query_context;	/* until the next value */
	MemoryContext page_context; /* until the next page */
	char	   *aligned;		/* numbers of one page */
} IvfflatScan;

/* What there is on a page, to be measured at once. */
typedef struct PageRows
{
	Datum		data[MaxIndexTuplesPerPage];
	const char *numbers[MaxIndexTuplesPerPage];
	double		distances[MaxIndexTuplesPerPage];
} PageRows;

IndexScanDesc
ivfflat_begin_scan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	IvfflatScan *state = palloc0(sizeof(IvfflatScan));

	IvfflatLoadSupport(index, &state->support);
	state->query_context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat query", ALLOCSET_SMALL_SIZES);
	state->page_context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat page", ALLOCSET_SMALL_SIZES);
	IvfflatQueueInit(&state->lists, CurrentMemoryContext);
	IvfflatQueueInit(&state->rows, CurrentMemoryContext);
	/* Values with short headers are aligned here; not even on a damaged page they are larger. */
	state->aligned = palloc(MaxIndexTuplesPerPage * MAXALIGN(VARATT_SHORT_MAX));
	scan->opaque = state;
	return scan;
}

void
ivfflat_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	IvfflatScan *state = scan->opaque;

	state->started = false;
	IvfflatQueueReset(&state->lists);
	IvfflatQueueReset(&state->rows);
	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
}

void
ivfflat_end_scan(IndexScanDesc scan)
{
	IvfflatScan *state = scan->opaque;

	/* Sorts have files; memory goes with the executor's context. */
	IvfflatQueueReset(&state->lists);
	IvfflatQueueReset(&state->rows);
	MemoryContextDelete(state->query_context);
	MemoryContextDelete(state->page_context);
	scan->opaque = NULL;
}

static void
VisitList(void *state, IvfflatListPlace place, const IvfflatList *list, double distance)
{
	ItemPointerData start;

	ItemPointerSet(&start, list->start, FirstOffsetNumber);
	IvfflatQueueAdd(&((IvfflatScan *) state)->lists, distance, &start);
}

/*
 * Sorts the lists by their distance from the value.
 */
static void
StartQuery(IndexScanDesc scan)
{
	IvfflatScan *state = scan->opaque;
	ScanKey		order = scan->orderByData;
	MemoryContext caller;
	int			lists;

	if (scan->numberOfOrderBys != 1)
		elog(ERROR, "cannot scan ivfflat index without order");
	/* As nothing is pinned between rows, see ivfflat_vacuum.c. */
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		elog(ERROR, "non-MVCC snapshots are not supported with ivfflat");
	pgstat_count_index_scan(scan->indexRelation);

	IvfflatReadMeta(scan->indexRelation, &lists, NULL);
	state->probes = Min(ivfflat_probes, lists);
	state->probes_left = ivfflat_iterative_scan ? Min(Max(ivfflat_max_probes, ivfflat_probes), lists) : state->probes;

	MemoryContextReset(state->query_context);
	caller = MemoryContextSwitchTo(state->query_context);
	memset(&state->query, 0, sizeof(IvfflatQuery));
	if ((order->sk_flags & SK_ISNULL) == 0)
	{
		Datum		value = PointerGetDatum(Detoasted(order->sk_argument));

		if (state->support.norm != NULL && state->support.type->normalize != NULL)
			value = DirectFunctionCall1Coll(state->support.type->normalize, state->support.collation, value);
		state->query = IvfflatMakeQuery(&state->support, value);
	}
	IvfflatVisitLists(scan->indexRelation, &state->support, &state->query, VisitList, state);
	IvfflatQueueReady(&state->lists);
	MemoryContextSwitchTo(caller);
	state->started = true;
}

/*
 * The value of a tuple: as a datum, and its numbers, aligned. A value may have a short header, or be compressed if it is a
 * bit string.
 */
static void
ReadTuple(IndexScanDesc scan, BlockNumber block, IndexTuple tuple, Size size, Datum *datum, const char **numbers,
		  char **aligned)
{
	IvfflatScan *state = scan->opaque;
	Size		offset = IndexInfoFindDataOffset(tuple->t_info);
	struct varlena *value = (struct varlena *) ((char *) tuple + offset);
	Size		room;

	if (IndexTupleSize(tuple) > size || IndexTupleHasNulls(tuple) || IndexTupleSize(tuple) < offset + VARHDRSZ)
		IvfflatCorrupt(scan->indexRelation, block, "A tuple does not have the length that it says.");
	room = IndexTupleSize(tuple) - offset;

	if (VARATT_IS_COMPRESSED(value))
	{
		if (VARSIZE(value) > room)
			IvfflatCorrupt(scan->indexRelation, block, "A tuple does not have the length that it says.");
		value = Detoasted(PointerGetDatum(value));
		room = VARSIZE(value);
	}
	*datum = PointerGetDatum(value);
	*numbers = IvfflatDatumNumbers(&state->support, value, room);
	if (*numbers == NULL)
		IvfflatCorrupt(scan->indexRelation, block, "A tuple does not have a value of the index.");
	if (VARATT_IS_SHORT(value))
	{
		Size		length = IvfflatNumbersSize(&state->support);

		memcpy(*aligned, *numbers, length);
		*numbers = *aligned;
		*aligned += MAXALIGN(length);
	}
}

/*
 * Adds the rows of one list.
 */
static void
ReadList(IndexScanDesc scan, BlockNumber block)
{
	IvfflatScan *state = scan->opaque;
	Relation	index = scan->indexRelation;
	IvfflatChain chain = IvfflatStartChain(index);
	PageRows	rows;

	while (BlockNumberIsValid(block))
	{
		char	   *aligned = state->aligned;
		MemoryContext caller;
		Buffer		buffer;
		Page		page;
		OffsetNumber count;

		IvfflatNextInChain(&chain, block);
		buffer = ReadBuffer(index, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = IvfflatCheckPage(index, buffer);
		count = PageGetMaxOffsetNumber(page);
		if (count > MaxIndexTuplesPerPage)
			IvfflatCorrupt(index, block, "It has too many items.");

		caller = MemoryContextSwitchTo(state->page_context);
		for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
		{
			Size		size;
			IndexTuple	tuple = IvfflatItem(index, block, page, offset, sizeof(IndexTupleData), &size);

			ReadTuple(scan, block, tuple, size, &rows.data[offset - 1], &rows.numbers[offset - 1], &aligned);
		}
		IvfflatDistances(&state->support, &state->query, rows.data, rows.numbers, count, rows.distances);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(state->page_context);

		for (OffsetNumber offset = FirstOffsetNumber; offset <= count; offset++)
		{
			IndexTuple	tuple = (IndexTuple) PageGetItem(page, PageGetItemId(page, offset));

			IvfflatQueueAdd(&state->rows, rows.distances[offset - 1], &tuple->t_tid);
		}
		block = IvfflatPageTail(page)->next;
		UnlockReleaseBuffer(buffer);
	}
}

/*
 * Reads the next lists. False if there are none, or as many have been read as are allowed.
 */
static bool
ReadNextLists(IndexScanDesc scan)
{
	IvfflatScan *state = scan->opaque;
	IvfflatCandidate list;
	int			read = 0;

	IvfflatQueueReset(&state->rows);
	while (read < state->probes && state->probes_left > 0 && IvfflatQueueNext(&state->lists, &list))
	{
		ReadList(scan, ItemPointerGetBlockNumberNoCheck(&list.tid));
		state->probes_left--;
		read++;
	}
	IvfflatQueueReady(&state->rows);
	return read > 0;
}

bool
ivfflat_get_tuple(IndexScanDesc scan, ScanDirection direction)
{
	IvfflatScan *state = scan->opaque;
	IvfflatCandidate row;

	if (!state->started)
		StartQuery(scan);
	while (!IvfflatQueueNext(&state->rows, &row))
	{
		if (!ReadNextLists(scan))
			return false;
	}
	scan->xs_heaptid = row.tid;
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	return true;
}
