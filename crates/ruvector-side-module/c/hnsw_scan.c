/*
 * Searching an index of hnsw or ruhnsw.
 */
#include "hnsw.h"

#include <math.h>

#include "access/relscan.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct SearchState
{
	HnswAccess	access;
	MemoryContext context;		/* emptied by each rescan */
	MemoryContext outer_context;	/* that of the scan */
	HnswSearch *search;			/* NULL before the first row */
	HnswSearchLimits limits;
	HnswRerank *rerank;			/* NULL before the first search of codes */
	bool		reranked;		/* this search is one */
	bool		strict;
	double		farthest;
	/* Rows of one element that were not given yet. */
	ItemPointerData rows[HNSW_ROWS];
	int			row_count;
	int			next_row;
} SearchState;

IndexScanDesc
hnswbeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	SearchState  *state = palloc0(sizeof(SearchState));

	state->access.index = index;
	state->outer_context = CurrentMemoryContext;
	state->context = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan", ALLOCSET_DEFAULT_SIZES);
	scan->opaque = state;
	return scan;
}

void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	SearchState  *state = scan->opaque;

	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys != NULL && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));

	MemoryContextReset(state->context);
	state->search = NULL;
	state->row_count = state->next_row = 0;
}

/* An index without elements can be asked for anything. */
static void
CheckDimensions(HnswAccess *access, uint32 dimensions)
{
	static const char *const types[] = {"vector", "halfvec", "sparsevec"};
	const HnswInfo *info = access->info;
	uint64		entry;
	uint32		level;

	if (dimensions == info->dimensions)
		return;
	HnswGetEntry(access, &entry, &level);
	if (entry == 0)
		return;
	if (info->settings.kind == KIND_BIT)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %u and %u", dimensions, info->dimensions)));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different %s dimensions %d and %d", types[info->settings.kind], (int) dimensions,
					(int) info->dimensions)));
}

static void
BeginSearch(IndexScanDesc scan)
{
	SearchState  *state = scan->opaque;
	HnswCode	code = {NULL, 0};
	double		memory = (double) work_mem * 1024 * hnsw_scan_mem_multiplier;

	if (scan->orderByData == NULL || scan->numberOfOrderBys < 1)
		elog(ERROR, "cannot scan %s index without order", HnswMethodName(scan->indexRelation));
	/* Pages are not kept from vacuum between rows; a snapshot does not see the rows that may then be in their places. */
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		elog(ERROR, "non-MVCC snapshots are not supported with %s", HnswMethodName(scan->indexRelation));
	pgstat_count_index_scan(scan->indexRelation);

	/* Not before: what was remembered may have gone since the scan began. */
	state->access.info = HnswCopyInfo(HnswGetInfo(scan->indexRelation), state->context);
	if (!(scan->orderByData[0].sk_flags & SK_ISNULL))
	{
		uint32		dimensions;

		HnswFormQuery(state->access.info, scan->orderByData[0].sk_argument, &code, &dimensions);
		CheckDimensions(&state->access, dimensions);
	}
	state->search = ruvector_hnsw_search_new(&state->access.info->settings, code.data, code.length,
											 HnswSearchWidth(scan->indexRelation, state->access.info),
											 hnsw_iterative_scan != HNSW_ITERATIVE_OFF);
	if (state->search == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	/* Without anything to compare with, rows are in no order. */
	state->reranked = HnswIsQuantized(state->access.info) && !(scan->orderByData[0].sk_flags & SK_ISNULL);
	if (state->reranked)
	{
		if (state->rerank == NULL)
			state->rerank = HnswBeginRerank(scan, state->outer_context);
		/* It is read for each row. */
		HnswRestartRerank(state->rerank, PointerGetDatum(Detoasted(scan->orderByData[0].sk_argument)));
	}
	state->limits.visits = hnsw_max_scan_tuples;
	state->limits.memory = (Size) Min(memory, (double) MaxAllocHugeSize);
	state->strict = hnsw_iterative_scan == HNSW_ITERATIVE_STRICT;
	state->farthest = -get_float8_infinity();
}

/* Gets more elements. Are there any? */
static bool
SearchOn(SearchState *state)
{
	Failure		failure;
	int			status;

	LockPage(state->access.index, HNSW_SCAN_LOCK, ShareLock);
	status = HnswCheckStatus(ruvector_hnsw_search_step(state->search, &state->access, &state->limits, &failure),
							 &failure);
	UnlockPage(state->access.index, HNSW_SCAN_LOCK, ShareLock);
	return status == HNSW_DONE;
}

/* Takes the rows of an element: none if it is gone by now. Of a code, also the least squared distance. */
static void
TakeRows(SearchState *state, uint64 id, float order, double *least)
{
	Buffer		buffer = HnswReadBuffer(&state->access, HnswIdBlock(id), BUFFER_LOCK_SHARE);
	Page		page = HnswCheckPage(state->access.index, buffer);
	HnswElement *element = HnswGetElement(&state->access, page, id);

	state->next_row = 0;
	state->row_count = element != NULL ? element->row_count : 0;
	if (state->row_count > 0)
	{
		memcpy(state->rows, element->rows, sizeof(ItemPointerData) * state->row_count);
		if (least != NULL)
			*least = ruvector_hnsw_search_least(state->search, order, element->code, element->code_length);
	}
	UnlockReleaseBuffer(buffer);
}

/* Sums of single precision numbers are off by less than that part. */
#define SUM_ERROR 1e-5

/* What the operator says of vectors with a squared distance. */
static double
OperatorDistance(const HnswInfo *info, double squared)
{
	/* The cosine of what has length one. */
	if (info->normalize)
		return squared / 2 - SUM_ERROR;
	return squared > 0 ? sqrt(squared) * (1 - SUM_ERROR) : squared;
}

/* Gets the next row of those that are put in order by the table. Is there one? */
static bool
NextReranked(SearchState *state, ItemPointer row)
{
	for (;;)
	{
		uint64		id;
		float		estimate;
		double		distance;

		while (HnswTakeReranked(state->rerank, row, &distance))
		{
			/* In strict order, what was found too late is left out. */
			if (state->strict && distance < state->farthest)
				continue;
			state->farthest = distance;
			return true;
		}
		if (!SearchOn(state))
			return false;
		while (ruvector_hnsw_search_take(state->search, &id, &estimate))
		{
			double		least = 0;

			TakeRows(state, id, estimate, &least);
			/* In strict order a row that came too late would be lost. */
			least = state->strict ? -get_float8_infinity() : OperatorDistance(state->access.info, least);
			if (state->row_count > 0)
				HnswAddFound(state->rerank, least, state->rows, state->row_count);
		}
		HnswFinishBatch(state->rerank);
	}
}

/* The same without codes, by the distances of elements. */
static bool
NextRow(SearchState *state, ItemPointer row)
{
	for (;;)
	{
		uint64		id;
		float		distance;

		if (state->next_row < state->row_count)
		{
			*row = state->rows[state->next_row++];
			return true;
		}
		if (ruvector_hnsw_search_take(state->search, &id, &distance))
		{
			/* In strict order, what was found too late is left out. */
			if (state->strict && distance < state->farthest)
				continue;
			state->farthest = distance;
			TakeRows(state, id, distance, NULL);
		}
		else if (!SearchOn(state))
			return false;
	}
}

bool
hnswgettuple(IndexScanDesc scan, ScanDirection direction)
{
	SearchState  *state = scan->opaque;
	MemoryContext old_context = MemoryContextSwitchTo(state->context);
	bool		found;

	Assert(ScanDirectionIsForward(direction));
	if (state->search == NULL)
		BeginSearch(scan);
	found = state->reranked ? NextReranked(state, &scan->xs_heaptid) : NextRow(state, &scan->xs_heaptid);
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	MemoryContextSwitchTo(old_context);
	return found;
}

void
hnswendscan(IndexScanDesc scan)
{
	SearchState  *state = scan->opaque;

	if (state->rerank != NULL)
		HnswEndRerank(state->rerank);
	MemoryContextDelete(state->context);
	pfree(state);
	scan->opaque = NULL;
}
