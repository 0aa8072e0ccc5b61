/*
 * Writes the pages of a new index `ivfflat`. They do not go through shared buffers; each is written, and logged, once and
 * whole. Pages of lists have to say where the tuples are, so that they come last, in the place that is left for them.
 */
#include "ivfflat_build.h"

#include "commands/progress.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bulk_write.h"
#include "utils/backend_progress.h"

typedef struct Writer
{
	IvfflatBuild *build;
	BulkWriteState *bulk;
	BulkWriteBuffer buffer;		/* of the page that is being filled */
	BlockNumber block;			/* its number */
} Writer;

static void
StartPage(Writer *writer)
{
	writer->buffer = smgr_bulk_get_buf(writer->bulk);
	IvfflatInitPage((Page) writer->buffer);
}

static void
EndPage(Writer *writer, bool last)
{
	if (!last)
		IvfflatPageTail((Page) writer->buffer)->next = writer->block + 1;
	smgr_bulk_write(writer->bulk, writer->block, writer->buffer, true);
	writer->block++;
}

static OffsetNumber
AddItem(Writer *writer, void *item, Size size)
{
	OffsetNumber offset = PageAddItem((Page) writer->buffer, (Item) item, size, InvalidOffsetNumber, false, false);

	if (offset == InvalidOffsetNumber)
		elog(ERROR, "failed to add index item to \"%s\"", RelationGetRelationName(writer->build->index));
	return offset;
}

/* The next row of the sort. False if there is none. */
static bool
NextRow(IvfflatBuild *build, TupleTableSlot *slot, int *list, IndexTuple *tuple)
{
	Datum		value;
	bool		isnull;

	if (!tuplesort_gettupleslot(build->sort, true, false, slot, NULL))
		return false;
	*list = DatumGetInt32(slot_getattr(slot, 1 + IVFFLAT_ROW_LIST, &isnull));
	value = slot_getattr(slot, 1 + IVFFLAT_ROW_VALUE, &isnull);
	*tuple = index_form_tuple(RelationGetDescr(build->index), &value, &isnull);
	(*tuple)->t_tid = *(ItemPointer) DatumGetPointer(slot_getattr(slot, 1 + IVFFLAT_ROW_TID, &isnull));
	return true;
}

/*
 * Writes tuples, each list's on pages of its own, and at least one.
 */
static void
WriteTuples(Writer *writer, IvfflatList *places)
{
	IvfflatBuild *build = writer->build;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(build->row_descriptor, &TTSOpsMinimalTuple);
	int64		done = 0;
	int			list;
	IndexTuple	tuple;
	bool		more;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVFFLAT_PHASE_LOAD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) build->index_tuples);
	more = NextRow(build, slot, &list, &tuple);
	for (int i = 0; i < build->lists; i++)
	{
		CHECK_FOR_INTERRUPTS();
		places[i].start = writer->block;
		StartPage(writer);
		while (more && list == i)
		{
			Size		size = MAXALIGN(IndexTupleSize(tuple));

			if (PageGetFreeSpace((Page) writer->buffer) < size)
			{
				EndPage(writer, false);
				StartPage(writer);
				CHECK_FOR_INTERRUPTS();
			}
			AddItem(writer, tuple, size);
			pfree(tuple);
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++done);
			more = NextRow(build, slot, &list, &tuple);
		}
		places[i].insert = writer->block;
		EndPage(writer, true);
	}
	ExecDropSingleTupleTableSlot(slot);
}

static void
WriteLists(Writer *writer, const IvfflatList *places, int per_page)
{
	IvfflatBuild *build = writer->build;
	Size		size = MAXALIGN(offsetof(IvfflatList, center) + IvfflatDatumSize(&build->support));
	IvfflatList *item = palloc0(size);

	for (int i = 0; i < build->lists; i++)
	{
		if (i % per_page == 0)
		{
			if (i > 0)
				EndPage(writer, false);
			StartPage(writer);
		}
		item->start = places[i].start;
		item->insert = places[i].insert;
		IvfflatMakeDatum(&build->support, build->center_numbers[i], (struct varlena *) item->center);
		AddItem(writer, item, size);
	}
	EndPage(writer, true);
	pfree(item);
}

static void
WriteMeta(Writer *writer)
{
	IvfflatMeta *meta;
	Page		page;

	StartPage(writer);
	page = (Page) writer->buffer;
	meta = (IvfflatMeta *) PageGetContents(page);
	meta->magic = IVFFLAT_MAGIC;
	meta->version = IVFFLAT_VERSION;
	meta->dimensions = writer->build->support.dimensions;
	meta->lists = writer->build->lists;
	/* What is below is kept when a page is logged without its hole. */
	((PageHeader) page)->pd_lower = (char *) (meta + 1) - (char *) page;
	EndPage(writer, true);
}

void
IvfflatWritePages(IvfflatBuild *build, ForkNumber fork)
{
	Writer		writer = {.build = build};
	Size		size = MAXALIGN(offsetof(IvfflatList, center) + IvfflatDatumSize(&build->support));
	Size		room = BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(IvfflatTail));
	int			per_page = (int) (room / (size + sizeof(ItemIdData)));
	IvfflatList *places = palloc_array(IvfflatList, build->lists);

	writer.bulk = smgr_bulk_start_rel(build->index, fork);
	writer.block = IVFFLAT_FIRST_LIST_BLOCK + (build->lists + per_page - 1) / per_page;
	WriteTuples(&writer, places);
	writer.block = IVFFLAT_FIRST_LIST_BLOCK;
	WriteLists(&writer, places, per_page);
	writer.block = IVFFLAT_META_BLOCK;
	WriteMeta(&writer);
	smgr_bulk_finish(writer.bulk);
	pfree(places);
}
