/*
 * Building an index of hnsw: in memory as long as there is enough, then on pages.
 */
#include "hnsw_build.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bulk_write.h"
#include "storage/smgr.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

/* The same rows in the same order give the same index. */
#define LEVEL_SEED 0

static void
CheckOptions(const HnswInfo *info)
{
	if (info->settings.ef_construction < 2 * info->settings.m)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ef_construction must be greater than or equal to 2 * m")));
}

/* Pages that are written in the order of their blocks, each when the next one is begun. */
typedef struct PageWriter
{
	BulkWriteState *bulk;
	BulkWriteBuffer page;
	BlockNumber block;
} PageWriter;

static Page
WriterPage(PageWriter *writer, BlockNumber block)
{
	if (writer->page != NULL && writer->block != block)
	{
		smgr_bulk_write(writer->bulk, writer->block, writer->page, true);
		writer->page = NULL;
	}
	if (writer->page == NULL)
	{
		writer->page = smgr_bulk_get_buf(writer->bulk);
		writer->block = block;
		HnswInitPage((Page) writer->page);
	}
	return (Page) writer->page;
}

static void
WriterFinish(PageWriter *writer)
{
	if (writer->page != NULL)
		smgr_bulk_write(writer->bulk, writer->block, writer->page, true);
	writer->page = NULL;
}

static void
AddPlaced(Page page, void *item, Size size, OffsetNumber offset)
{
	if (PageAddItem(page, (Item) item, size, InvalidOffsetNumber, false, false) != offset)
		elog(ERROR, "hnsw element does not fit where it was to be put");
}

/*
 * Writes all elements in memory to pages. Where links are on pages of their own, these and those of elements are each
 * written in order.
 */
static void
WriteElements(HnswBuild *state, BulkWriteState *bulk)
{
	uint32		m = state->info.settings.m;
	PageWriter	pages = {.bulk = bulk};
	PageWriter	links_pages = {.bulk = bulk};
	HnswElement *element = palloc0(BLCKSZ);
	HnswLinks  *links = palloc0(BLCKSZ);
	HnswPlaced	placed;

	for (uint32 position = 0;; position++)
	{
		BlockNumber block;
		Page		page;
		int			status = ruvector_hnsw_build_element(state->builder, position, &placed, links->links);

		CHECK_FOR_INTERRUPTS();
		if (status == HNSW_END)
			break;
		if (status != HNSW_DONE)
			elog(ERROR, "hnsw element %u has no place", position);

		block = HnswIdBlock(placed.id);
		element->type = HNSW_ELEMENT;
		element->level = placed.level;
		element->row_count = placed.row_count;
		element->version = HnswIdVersion(placed.id);
		element->code_length = placed.code_length;
		ItemPointerSet(&element->links, placed.links_block, placed.links_offset);
		for (int i = 0; i < HNSW_ROWS; i++)
			ItemPointerSet(&element->rows[i], placed.rows[i] >> 16, placed.rows[i] & 0xFFFF);
		memcpy(element->code, placed.code, placed.code_length);
		page = WriterPage(&pages, block);
		HnswPageOpaque(page)->versions = element->version;
		AddPlaced(page, element, HnswElementSize(placed.code_length), HnswIdOffset(placed.id));

		links->type = HNSW_LINKS;
		links->level = placed.level;
		links->version = element->version;
		if (placed.links_block != block)
			page = WriterPage(&links_pages, placed.links_block);
		AddPlaced(page, links, HnswLinksSize(placed.level, m), placed.links_offset);
	}
	WriterFinish(&pages);
	WriterFinish(&links_pages);
	pfree(element);
	pfree(links);
}

/*
 * Writes an index as it is in memory; without a graph an empty one.
 */
static void
WriteIndex(HnswBuild *state, ForkNumber fork)
{
	Relation	index = state->access.index;
	BulkWriteState *bulk = smgr_bulk_start_rel(index, fork);
	BulkWriteBuffer meta = smgr_bulk_get_buf(bulk);

	HnswInitMeta((Page) meta, &state->info);
	if (state->builder != NULL)
	{
		HnswPageSizes sizes = {
			.room = HNSW_PAGE_ROOM,
			.pointer = sizeof(ItemIdData),
			.element = HnswElementSize(0),
			.links = offsetof(HnswLinks, links),
			.first = state->info.first_block,
			.m = state->info.settings.m,
		};
		MemoryContext old_context = MemoryContextSwitchTo(state->graph_context);
		Failure		failure;
		uint32		blocks;
		uint64		entry;
		uint32		level;

		HnswCheckStatus(ruvector_hnsw_build_place(state->builder, &sizes, &blocks, &failure), &failure);
		MemoryContextSwitchTo(old_context);
		ruvector_hnsw_build_entry(state->builder, &entry, &level);
		HnswPageMeta((Page) meta)->entry = entry;
		HnswPageMeta((Page) meta)->entry_level = level;
	}
	smgr_bulk_write(bulk, HNSW_META_BLOCK, meta, true);
	for (uint32 i = 0; i < state->info.parameter_pages; i++)
	{
		BulkWriteBuffer page = smgr_bulk_get_buf(bulk);

		HnswInitParameters((Page) page, &state->info, i);
		smgr_bulk_write(bulk, HNSW_FIRST_PARAMETER_BLOCK + i, page, true);
	}
	if (state->builder != NULL)
		WriteElements(state, bulk);
	smgr_bulk_finish(bulk);
}

/* Ends the part in memory. */
void
HnswFlush(HnswBuild *state)
{
	WriteIndex(state, MAIN_FORKNUM);
	HnswWipeGraph(state);
	HnswDropGraph(state);
}

/* The memory that was full is a setting, or where the graph is. */
void
HnswNoteFullMemory(const HnswBuild *state, int64 rows, const char *memory)
{
	ereport(NOTICE,
			(errmsg("%s graph no longer fits into %s after " INT64_FORMAT " tuples",
					HnswMethodName(state->access.index), memory, rows),
			 errdetail("Building will take significantly more time."),
			 errhint("Increase %s to speed up builds.", memory)));
}

/* Adds a row to the graph in memory; false if there is none any more. */
static bool
AddToGraph(HnswBuild *state, HnswCode code, ItemPointer row)
{
	MemoryContext old_context;
	Failure		failure;
	int			status;

	if (state->builder == NULL)
		return false;
	old_context = MemoryContextSwitchTo(state->graph_context);
	status = ruvector_hnsw_build_add(state->builder, code.data, code.length, HnswRowName(row), &failure);
	MemoryContextSwitchTo(old_context);
	if (HnswCheckStatus(status, &failure) == HNSW_DONE)
		return true;
	HnswNoteFullMemory(state, (int64) state->rows, "maintenance_work_mem");
	HnswFlush(state);
	return false;
}

static void
AddRow(HnswBuild *state, HnswCode code, ItemPointer row)
{
	bool		added = state->parallel != NULL ? HnswAddShared(state, code, row) : AddToGraph(state, code, row);

	if (!added)
		HnswInsertCode(&state->access, code, row);
}

/* An empty graph in memory. */
static void
StartGraph(HnswBuild *state)
{
	MemoryContext old_context = MemoryContextSwitchTo(state->graph_context);

	if (state->builder != NULL)
		ruvector_hnsw_build_free(state->builder);
	state->builder = ruvector_hnsw_build_new(&state->info.settings, state->info.code_length, state->info.highest_level,
											 LEVEL_SEED, (Size) maintenance_work_mem * 1024);
	MemoryContextSwitchTo(old_context);
	if (state->builder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

void
HnswAddBuildRow(Relation index, ItemPointer row, Datum *values, bool *isnull, bool alive, void *argument)
{
	HnswBuild *state = argument;
	MemoryContext old_context;
	HnswCode	code;

	CHECK_FOR_INTERRUPTS();
	if (isnull[0])
		return;
	old_context = MemoryContextSwitchTo(state->row_context);
	if (HnswIsUntrained(&state->info))
	{
		/* Without any row there was nothing to train with; this one has come meanwhile. */
		state->info.settings.step = HnswFirstStep(&state->info, values[0]);
		StartGraph(state);
	}
	if (HnswFormCode(&state->info, values[0], &code))
	{
		AddRow(state, code, row);
		state->rows++;
		if (state->parallel != NULL)
			HnswCountShared(state);
		else
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, state->rows);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(state->row_context);
}

/* What a process needs to build, when the index is described. */
void
HnswPrepareBuild(HnswBuild *state, Relation index)
{
	state->access.index = index;
	state->access.info = &state->info;
	state->access.building = true;
	state->row_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row", ALLOCSET_DEFAULT_SIZES);
	state->graph_context = AllocSetContextCreate(CurrentMemoryContext, "hnsw build graph", ALLOCSET_DEFAULT_SIZES);
}

IndexBuildResult *
hnswbuild(Relation heap, Relation index, IndexInfo *index_info)
{
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	HnswBuild	state = {0};

	HnswDescribe(index, &state.info, HnswGetQuantizer(index));
	CheckOptions(&state.info);
	if (HnswHasCenters(&state.info))
		HnswTrain(heap, index, index_info, &state.info);
	HnswPrepareBuild(&state, index);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PHASE_LOAD);
	if (!HnswBuildParallel(&state, heap, index_info, result))
	{
		StartGraph(&state);
		result->heap_tuples = table_index_build_scan(heap, index, index_info, true, true, HnswAddBuildRow, &state, NULL);
		result->index_tuples = state.rows;
	}
	if (state.builder != NULL)
		HnswFlush(&state);
	else if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	MemoryContextDelete(state.row_context);
	return result;
}

/* Of an unlogged table: what there is after a crash. */
void
hnswbuildempty(Relation index)
{
	HnswBuild	state = {0};

	HnswDescribe(index, &state.info, HnswGetQuantizer(index));
	CheckOptions(&state.info);
	if (HnswHasCenters(&state.info))
		HnswTrainEmpty(index, &state.info);
	state.access.index = index;
	WriteIndex(&state, INIT_FORKNUM);
}
