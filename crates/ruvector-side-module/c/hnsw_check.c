/*
 * Looking at an index of hnsw as a whole: functions of the extension ruvector.
 */
#include "hnsw.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

typedef struct HnswChecker HnswChecker;

typedef struct HnswFigures
{
	uint64		elements;
	uint64		dead;
	uint64		unreachable;
	uint64		links;
	uint32		highest_level;
} HnswFigures;

extern HnswChecker *ruvector_hnsw_check_new(uint32 m);
extern int32 ruvector_hnsw_check_element(HnswChecker *checker, uint64 id, uint32 level, uint64 links,
										 const uint64 *rows, size_t count, Failure *failure);
extern int32 ruvector_hnsw_check_links(HnswChecker *checker, uint64 place, uint32 version, uint32 level,
									   const uint64 *links, size_t count, Failure *failure);
extern int32 ruvector_hnsw_check_finish(HnswChecker *checker, uint64 entry, uint32 entry_level,
										HnswFigures *figures, Failure *failure);
extern char *ruvector_hnsw_check_problem(const HnswChecker *checker, size_t position);
extern size_t ruvector_hnsw_check_unreachable(const HnswChecker *checker, size_t position, uint64 *row,
											  uint64 *element, uint32 *level);
extern void ruvector_hnsw_check_free(HnswChecker *checker);

typedef struct CheckState
{
	Relation	heap;
	Relation	index;
	HnswAccess	access;
	HnswChecker *checker;
	HnswFigures figures;
	BlockNumber blocks;
	/* Where problems go; NULL if they are errors. */
	ReturnSetInfo *result;
} CheckState;

static void
Tell(CheckState *state, const char *problem)
{
	Datum		value = CStringGetTextDatum(problem);
	bool		null = false;

	if (state->result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is damaged: %s", RelationGetRelationName(state->index), problem),
				 errhint("Please REINDEX it.")));
	tuplestore_putvalues(state->result->setResult, state->result->setDesc, &value, &null);
}

/*
 * Opens an index so that rows are neither added to nor removed from it: vacuum is kept away by the lock of the table,
 * inserts by that of the index.
 */
static void
OpenIndex(CheckState *state, Oid oid)
{
	Oid			heap = IndexGetRelation(oid, true);

	if (OidIsValid(heap))
		state->heap = table_open(heap, ShareUpdateExclusiveLock);
	state->index = index_open(oid, AccessShareLock);
	if (!HnswIsOurs(state->index) || !OidIsValid(heap))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an hnsw index", RelationGetRelationName(state->index))));
	if (RELATION_IS_OTHER_TEMP(state->index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary tables of other sessions")));
	if (!object_ownercheck(RelationRelationId, heap, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(state->index));
	state->access.index = state->index;
	state->access.info = HnswCopyInfo(HnswGetInfo(state->index), CurrentMemoryContext);
}

static void
CloseIndex(CheckState *state)
{
	ruvector_hnsw_check_free(state->checker);
	index_close(state->index, AccessShareLock);
	table_close(state->heap, ShareUpdateExclusiveLock);
}

/* What is wrong with an item as such; NULL if nothing is. */
static const char *
CheckItem(CheckState *state, Page page, BlockNumber block, OffsetNumber offset)
{
	const HnswInfo *info = state->access.info;
	ItemId		pointer = PageGetItemId(page, offset);
	PageHeader	header = (PageHeader) page;
	Size		size = ItemIdGetLength(pointer);
	Failure		failure;
	int			status;

	if (!ItemIdIsUsed(pointer))
		return NULL;
	if (!ItemIdIsNormal(pointer) || ItemIdGetOffset(pointer) < header->pd_upper ||
		ItemIdGetOffset(pointer) % MAXIMUM_ALIGNOF != 0 ||
		ItemIdGetOffset(pointer) + size > header->pd_special || size < offsetof(HnswLinks, links))
		return "is not where items are";
	if (*(uint8 *) PageGetItem(page, pointer) == HNSW_ELEMENT)
	{
		HnswElement *element = (HnswElement *) PageGetItem(page, pointer);
		uint64		rows[HNSW_ROWS];

		if (size < HnswElementSize(0) || size < HnswElementSize(element->code_length))
			return "is too short for its code";
		if (info->code_length > 0 ? element->code_length != info->code_length :
			element->code_length > info->settings.room || element->code_length % 8 != 0)
			return "has a code of a wrong length";
		if (element->level > info->highest_level)
			return "is on a layer that there cannot be";
		if (element->row_count > HNSW_ROWS)
			return "has too many rows";
		for (int i = 0; i < element->row_count; i++)
			rows[i] = (uint64) ItemPointerGetBlockNumberNoCheck(&element->rows[i]) << 16 |
				ItemPointerGetOffsetNumberNoCheck(&element->rows[i]);
		status = ruvector_hnsw_check_element(state->checker, HnswId(block, offset, element->version), element->level,
											 HnswId(ItemPointerGetBlockNumberNoCheck(&element->links),
													ItemPointerGetOffsetNumberNoCheck(&element->links), 0),
											 rows, element->row_count, &failure);
	}
	else
	{
		HnswLinks  *links = (HnswLinks *) PageGetItem(page, pointer);

		if (links->type != HNSW_LINKS)
			return "is neither an element nor links";
		if (links->level > info->highest_level)
			return "is on a layer that there cannot be";
		if (size < HnswLinksSize(links->level, info->settings.m))
			return "is too short for its links";
		status = ruvector_hnsw_check_links(state->checker, HnswId(block, offset, 0), links->version, links->level,
										   links->links, HnswLinkCount(links->level, info->settings.m), &failure);
	}
	HnswCheckStatus(status, &failure);
	return NULL;
}

static void
ReadPage(CheckState *state, BlockNumber block)
{
	Buffer		buffer = HnswReadBuffer(&state->access, block, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	PageHeader	header = (PageHeader) page;

	/* A new page is one that was added just before a crash. */
	if (PageIsNew(page))
	{
		UnlockReleaseBuffer(buffer);
		return;
	}
	if (header->pd_special != BLCKSZ - MAXALIGN(sizeof(HnswOpaque)) || header->pd_upper > header->pd_special ||
		header->pd_lower > header->pd_upper || header->pd_lower < SizeOfPageHeaderData ||
		HnswPageOpaque(page)->page_id != HNSW_PAGE_ID)
		Tell(state, psprintf("page %u has a header that is not of an hnsw index", block));
	else
	{
		for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
		{
			const char *problem = CheckItem(state, page, block, offset);

			if (problem != NULL)
				Tell(state, psprintf("item (%u,%u) %s", block, offset, problem));
		}
	}
	UnlockReleaseBuffer(buffer);
}

static void
ReadIndex(CheckState *state)
{
	Failure		failure;
	uint64		entry;
	uint32		level;

	state->checker = ruvector_hnsw_check_new(state->access.info->settings.m);
	if (state->checker == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (state->heap != NULL)
		LockPage(state->index, HNSW_UPDATE_LOCK, ExclusiveLock);
	HnswGetEntry(&state->access, &entry, &level);
	state->blocks = RelationGetNumberOfBlocks(state->index);
	for (BlockNumber block = state->access.info->first_block; block < state->blocks; block++)
	{
		CHECK_FOR_INTERRUPTS();
		ReadPage(state, block);
	}
	if (state->heap != NULL)
		UnlockPage(state->index, HNSW_UPDATE_LOCK, ExclusiveLock);
	HnswCheckStatus(ruvector_hnsw_check_finish(state->checker, entry, level, &state->figures, &failure), &failure);
}

/*
 * Elements with rows that searches cannot come by, as far as can be told while rows are added. The memory is given back
 * with the current context.
 */
uint64 *
HnswFindUnreachable(HnswAccess *access, Size *count, uint8 **levels)
{
	CheckState	state = {.index = access->index, .access = *access};
	size_t		position = 0;
	uint64		row;
	uint64		element;
	uint64	   *found;
	uint32		level;

	ReadIndex(&state);
	*count = 0;
	found = palloc_extended(sizeof(uint64) * Max(state.figures.unreachable, 1), MCXT_ALLOC_HUGE);
	*levels = palloc_extended(Max(state.figures.unreachable, 1), MCXT_ALLOC_HUGE);
	/* More than one of the rows may be at the same element, and this be told again. */
	while (*count < state.figures.unreachable &&
		   (position = ruvector_hnsw_check_unreachable(state.checker, position, &row, &element, &level)) > 0)
	{
		found[*count] = element;
		(*levels)[(*count)++] = level;
	}
	ruvector_hnsw_check_free(state.checker);
	return found;
}

/*
 * Rows that can be seen, but not be found. Others do not matter: if a crash comes in the middle of an insert, its element
 * may be without links to it, and stays so until vacuum removes it with the row, which nobody sees.
 */
static void
TellUnreachable(CheckState *state)
{
	TupleTableSlot *slot = table_slot_create(state->heap, NULL);
	IndexFetchTableData *fetch = table_index_fetch_begin(state->heap);
	size_t		position = 0;
	uint64		row;
	uint64		element;
	uint32		level;

	while ((position = ruvector_hnsw_check_unreachable(state->checker, position, &row, &element, &level)) > 0)
	{
		ItemPointerData tid;
		bool		again = false;
		bool		all_dead = false;

		CHECK_FOR_INTERRUPTS();
		ItemPointerSet(&tid, row >> 16, row & 0xFFFF);
		if (table_index_fetch_tuple(fetch, &tid, GetActiveSnapshot(), slot, &again, &all_dead))
			Tell(state, psprintf("row (%u,%u) cannot be found: element (%u,%u) is not linked",
								 (BlockNumber) (row >> 16), (OffsetNumber) row,
								 HnswIdBlock(element), HnswIdOffset(element)));
		ExecClearTuple(slot);
	}
	table_index_fetch_end(fetch);
	ExecDropSingleTupleTableSlot(slot);
}

PG_FUNCTION_INFO_V1(ruvector_index_check);
Datum
ruvector_index_check(PG_FUNCTION_ARGS)
{
	CheckState	state = {0};
	char	   *problem;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	state.result = (ReturnSetInfo *) fcinfo->resultinfo;
	OpenIndex(&state, PG_GETARG_OID(0));
	ReadIndex(&state);
	for (size_t i = 0; (problem = ruvector_hnsw_check_problem(state.checker, i)) != NULL; i++)
	{
		Tell(&state, problem);
		pfree(problem);
	}
	TellUnreachable(&state);
	CloseIndex(&state);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(ruvector_index_stats);
Datum
ruvector_index_stats(PG_FUNCTION_ARGS)
{
	static const char *const metrics[] = {"l2", "ip", "l1", "hamming", "jaccard"};
	CheckState	state = {0};
	const HnswInfo *info;
	TupleDesc	description;
	Datum		values[12];
	bool		nulls[12] = {0};

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	OpenIndex(&state, PG_GETARG_OID(0));
	info = state.access.info;
	ReadIndex(&state);
	values[0] = Int32GetDatum(info->dimensions);
	values[1] = CStringGetTextDatum(info->normalize ? "cosine" : metrics[info->settings.metric]);
	values[2] = CStringGetTextDatum(HnswQuantizerName(info->settings.quantizer));
	values[3] = Int64GetDatum(state.figures.elements - state.figures.dead);
	values[4] = Int64GetDatum(state.figures.dead);
	values[5] = Int64GetDatum(state.figures.unreachable);
	values[6] = Int32GetDatum(state.figures.highest_level);
	values[7] = Float8GetDatum(state.figures.elements == 0 ? 0 :
							   (double) state.figures.links / state.figures.elements);
	values[8] = Int64GetDatum(state.blocks);
	values[9] = Int64GetDatum((int64) state.blocks * BLCKSZ);
	values[10] = Int32GetDatum(info->settings.m);
	values[11] = Int32GetDatum(info->settings.ef_construction);
	CloseIndex(&state);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls)));
}
