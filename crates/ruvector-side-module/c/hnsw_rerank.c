/*
 * Putting rows that a search of codes has found in the order of their distances: those of the rows that the snapshot
 * sees are computed by the operator of the query, from what the table has. So the order is what the operator says, and
 * codes decide only about which rows are looked at.
 */
#include "hnsw.h"

#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"

typedef struct RankedRow
{
	double		distance;
	ItemPointerData row;
} RankedRow;

struct HnswRerank
{
	IndexScanDesc scan;
	Datum		query;
	MemoryContext context;		/* of all this */
	MemoryContext row_context;
	IndexInfo  *info;
	EState	   *executor;		/* NULL if a column is indexed */
	TupleTableSlot *slot;
	IndexFetchTableData *fetch;
	/* Those of a batch, nearest first when it is finished. */
	RankedRow  *rows;
	int			count;
	int			room;
	int			next;
};

HnswRerank *
HnswBeginRerank(IndexScanDesc scan, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "hnsw rerank", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	HnswRerank *rerank = palloc0(sizeof(HnswRerank));

	rerank->scan = scan;
	rerank->context = context;
	rerank->row_context = AllocSetContextCreate(context, "hnsw rerank row", ALLOCSET_DEFAULT_SIZES);
	rerank->info = BuildIndexInfo(scan->indexRelation);
	if (rerank->info->ii_Expressions != NIL)
		rerank->executor = CreateExecutorState();
	rerank->slot = table_slot_create(scan->heapRelation, NULL);
	rerank->fetch = table_index_fetch_begin(scan->heapRelation);
	rerank->room = 64;
	rerank->rows = palloc(sizeof(RankedRow) * rerank->room);
	MemoryContextSwitchTo(old_context);
	return rerank;
}

/* Begins a search for what stays as long as that. */
void
HnswRestartRerank(HnswRerank *rerank, Datum query)
{
	rerank->query = query;
	rerank->count = rerank->next = 0;
}

/* The indexed value of the row in the slot. False if it has none. */
static bool
IndexedValue(HnswRerank *rerank, Datum *value)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	if (rerank->executor != NULL)
		GetPerTupleExprContext(rerank->executor)->ecxt_scantuple = rerank->slot;
	FormIndexDatum(rerank->info, rerank->slot, rerank->executor, values, isnull);
	*value = values[0];
	return !isnull[0];
}

static void
AddRanked(HnswRerank *rerank, ItemPointer row, double distance)
{
	/* The operator puts what is not a number last. */
	RankedRow	ranked = {isnan(distance) ? get_float8_infinity() : distance, *row};

	if (rerank->count == rerank->room)
	{
		rerank->room *= 2;
		rerank->rows = repalloc_huge(rerank->rows, sizeof(RankedRow) * rerank->room);
	}
	rerank->rows[rerank->count++] = ranked;
}

/*
 * Adds rows of an element to the batch, those that can be seen.
 */
void
HnswRerankRows(HnswRerank *rerank, const ItemPointerData *rows, int count)
{
	ScanKey		key = &rerank->scan->orderByData[0];

	for (int i = 0; i < count; i++)
	{
		ItemPointerData row = rows[i];
		bool		again = false;
		MemoryContext old_context;
		Datum		value;

		CHECK_FOR_INTERRUPTS();
		/* It makes it that of the version which is seen; but the executor is to begin where the index leads to. */
		if (!table_index_fetch_tuple(rerank->fetch, &row, rerank->scan->xs_snapshot, rerank->slot, &again, NULL))
			continue;
		row = rows[i];
		old_context = MemoryContextSwitchTo(rerank->row_context);
		if (IndexedValue(rerank, &value))
			AddRanked(rerank, &row, DatumGetFloat8(FunctionCall2Coll(&key->sk_func, key->sk_collation, value,
																	 rerank->query)));
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(rerank->row_context);
		if (rerank->executor != NULL)
			ResetPerTupleExprContext(rerank->executor);
	}
}

/* By distance, and where that is the same, by place. */
static int
CompareRanked(const void *a, const void *b)
{
	const RankedRow *x = a;
	const RankedRow *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return ItemPointerCompare((ItemPointer) &x->row, (ItemPointer) &y->row);
}

/*
 * Puts the rows of the batch in order. Between batches, no page of the table is kept.
 */
void
HnswFinishBatch(HnswRerank *rerank)
{
	ExecClearTuple(rerank->slot);
	table_index_fetch_reset(rerank->fetch);
	qsort(rerank->rows, rerank->count, sizeof(RankedRow), CompareRanked);
}

/*
 * Takes the nearest row of the batch. Behind the last one, a new batch begins.
 */
bool
HnswTakeReranked(HnswRerank *rerank, ItemPointer row, double *distance)
{
	if (rerank->next == rerank->count)
	{
		rerank->count = rerank->next = 0;
		return false;
	}
	*row = rerank->rows[rerank->next].row;
	*distance = rerank->rows[rerank->next++].distance;
	return true;
}

void
HnswEndRerank(HnswRerank *rerank)
{
	table_index_fetch_end(rerank->fetch);
	ExecDropSingleTupleTableSlot(rerank->slot);
	if (rerank->executor != NULL)
		FreeExecutorState(rerank->executor);
	MemoryContextDelete(rerank->context);
}
