/*
 * Putting rows that a search of codes has found in the order of their distances: those of the rows that the snapshot
 * sees are computed by the operator of the query, from what the table has. So the order is what the operator says, and
 * codes decide only about which rows are looked at.
 *
 * To read a row takes as long as to visit dozens of elements. So they are read as they are needed: before a row is given, those
 * that may be nearer by what is known of the error of their codes.
 */
#include "hnsw.h"

#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "lib/pairingheap.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"

/* An element whose rows were not read yet. */
typedef struct Found
{
	double		least;			/* the distance that they have at least */
	int			row_count;
	ItemPointerData rows[HNSW_ROWS];
} Found;

/* A row that was read. */
typedef struct RankedRow
{
	pairingheap_node node;
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
	/* Elements of a batch, the nearest first when it is complete; those from next on were not read. */
	Found	   *found;
	int			count;
	int			room;
	int			next;
	/* Rows of the batch that were read and not given. */
	pairingheap *ranked;
	MemoryContext batch_context;
};

/* By distance, and where that is the same, by place; the first of a heap is the largest. */
static int
CompareRanked(const pairingheap_node *a, const pairingheap_node *b, void *argument)
{
	const RankedRow *x = pairingheap_const_container(RankedRow, node, a);
	const RankedRow *y = pairingheap_const_container(RankedRow, node, b);

	if (x->distance != y->distance)
		return x->distance < y->distance ? 1 : -1;
	return -ItemPointerCompare((ItemPointer) &x->row, (ItemPointer) &y->row);
}

HnswRerank *
HnswBeginRerank(IndexScanDesc scan, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "hnsw rerank", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	HnswRerank *rerank = palloc0(sizeof(HnswRerank));

	rerank->scan = scan;
	rerank->context = context;
	rerank->row_context = AllocSetContextCreate(context, "hnsw rerank row", ALLOCSET_DEFAULT_SIZES);
	rerank->batch_context = AllocSetContextCreate(context, "hnsw rerank batch", ALLOCSET_SMALL_SIZES);
	rerank->ranked = pairingheap_allocate(CompareRanked, NULL);
	rerank->info = BuildIndexInfo(scan->indexRelation);
	if (rerank->info->ii_Expressions != NIL)
		rerank->executor = CreateExecutorState();
	rerank->slot = table_slot_create(scan->heapRelation, NULL);
	rerank->fetch = table_index_fetch_begin(scan->heapRelation);
	rerank->room = 64;
	rerank->found = palloc(sizeof(Found) * rerank->room);
	MemoryContextSwitchTo(old_context);
	return rerank;
}

static void
StartBatch(HnswRerank *rerank)
{
	rerank->count = rerank->next = 0;
	pairingheap_reset(rerank->ranked);
	MemoryContextReset(rerank->batch_context);
}

/* Begins a search for what stays as long as that. */
void
HnswRestartRerank(HnswRerank *rerank, Datum query)
{
	rerank->query = query;
	StartBatch(rerank);
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
	RankedRow  *ranked = MemoryContextAlloc(rerank->batch_context, sizeof(RankedRow));

	/* The operator puts what is not a number last. */
	ranked->distance = isnan(distance) ? get_float8_infinity() : distance;
	ranked->row = *row;
	pairingheap_add(rerank->ranked, &ranked->node);
}

/*
 * Adds an element to the batch, by its rows and the distance that they have at least.
 */
void
HnswAddFound(HnswRerank *rerank, double least, const ItemPointerData *rows, int count)
{
	Found	   *found;

	if (rerank->count == rerank->room)
	{
		rerank->room *= 2;
		rerank->found = repalloc_huge(rerank->found, sizeof(Found) * rerank->room);
	}
	found = &rerank->found[rerank->count++];
	found->least = least;
	found->row_count = count;
	memcpy(found->rows, rows, sizeof(ItemPointerData) * count);
}

static int
CompareFound(const void *a, const void *b)
{
	double		x = ((const Found *) a)->least;
	double		y = ((const Found *) b)->least;

	return x < y ? -1 : x > y;
}

/*
 * Completes the batch.
 */
void
HnswFinishBatch(HnswRerank *rerank)
{
	qsort(rerank->found, rerank->count, sizeof(Found), CompareFound);
}

/* Reads rows of an element, those that can be seen. */
static void
ReadRows(HnswRerank *rerank, const Found *found)
{
	ScanKey		key = &rerank->scan->orderByData[0];

	for (int i = 0; i < found->row_count; i++)
	{
		ItemPointerData row = found->rows[i];
		bool		again = false;
		MemoryContext old_context;
		Datum		value;

		CHECK_FOR_INTERRUPTS();
		/* It makes it that of the version which is seen; but the executor is to begin where the index leads to. */
		if (!table_index_fetch_tuple(rerank->fetch, &row, rerank->scan->xs_snapshot, rerank->slot, &again, NULL))
			continue;
		row = found->rows[i];
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

/* The nearest of the rows that were read. */
static RankedRow *
Nearest(HnswRerank *rerank)
{
	return pairingheap_container(RankedRow, node, pairingheap_first(rerank->ranked));
}

/*
 * Takes the nearest row of the batch. Behind the last one, a new batch begins.
 */
bool
HnswTakeReranked(HnswRerank *rerank, ItemPointer row, double *distance)
{
	RankedRow  *nearest;
	int			before = rerank->next;

	while (rerank->next < rerank->count &&
		   (pairingheap_is_empty(rerank->ranked) ||
			rerank->found[rerank->next].least <= Nearest(rerank)->distance))
		ReadRows(rerank, &rerank->found[rerank->next++]);
	if (rerank->next > before)
	{
		/* No page of the table is kept. */
		ExecClearTuple(rerank->slot);
		table_index_fetch_reset(rerank->fetch);
	}
	if (pairingheap_is_empty(rerank->ranked))
	{
		StartBatch(rerank);
		return false;
	}
	nearest = Nearest(rerank);
	pairingheap_remove_first(rerank->ranked);
	*row = nearest->row;
	*distance = nearest->distance;
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
