/*
 * Builds an index `ivfflat`: centres are found, rows are assigned to them and sorted, and pages are written.
 */
#include "ivfflat_build.h"

#include "build_parallel.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/progress.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

static void
CheckColumn(Relation index, const IvfflatSupport *support)
{
	if (TupleDescAttr(RelationGetDescr(index), 0)->atttypid == VARBITOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type not supported for ivfflat index")));
	if (support->dimensions < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions")));
	if (support->dimensions > support->type->max_dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for ivfflat index",
						support->type->max_dimensions)));
	/* On a line there are but two directions. */
	if (support->cluster_norm != NULL && support->dimensions == 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions must be greater than one for this opclass")));
}

/* What a process needs to build, but for the centres. */
void
IvfflatStartBuild(IvfflatBuild *build, Relation heap, Relation index, IndexInfo *info)
{
	IvfflatOptions *options = (IvfflatOptions *) index->rd_options;
	TupleDesc	descriptor = CreateTemplateTupleDesc(3);
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(index), 0);

	memset(build, 0, sizeof(IvfflatBuild));
	build->heap = heap;
	build->index = index;
	build->info = info;
	IvfflatLoadSupport(index, &build->support);
	CheckColumn(index, &build->support);
	build->lists = options != NULL ? options->lists : IVFFLAT_DEFAULT_LISTS;
	build->row_context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat row", ALLOCSET_DEFAULT_SIZES);

	TupleDescInitEntry(descriptor, 1 + IVFFLAT_ROW_LIST, "list", INT4OID, -1, 0);
	TupleDescInitEntry(descriptor, 1 + IVFFLAT_ROW_TID, "tid", TIDOID, -1, 0);
	TupleDescInitEntry(descriptor, 1 + IVFFLAT_ROW_VALUE, "value", column->atttypid, -1, 0);
	build->row_descriptor = descriptor;
	build->row_slot = MakeSingleTupleTableSlot(descriptor, &TTSOpsVirtual);
}

/* Makes centres what distances are computed with. */
void
IvfflatPrepareCenters(IvfflatBuild *build)
{
	Size		stride = IvfflatNumbersSize(&build->support);

	build->center_numbers = MemoryContextAllocHuge(CurrentMemoryContext, build->lists * sizeof(char *));
	build->distances = MemoryContextAllocHuge(CurrentMemoryContext, build->lists * sizeof(double));
	for (int i = 0; i < build->lists; i++)
		build->center_numbers[i] = build->centers + i * stride;
	if (build->support.measure == IVFFLAT_OTHER)
	{
		build->center_data = palloc(build->lists * sizeof(Datum));
		for (int i = 0; i < build->lists; i++)
		{
			struct varlena *datum = palloc0(IvfflatDatumSize(&build->support));

			IvfflatMakeDatum(&build->support, build->center_numbers[i], datum);
			build->center_data[i] = PointerGetDatum(datum);
		}
	}
}

void
IvfflatAssignRow(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	IvfflatBuild *build = state;
	TupleTableSlot *slot = build->row_slot;
	MemoryContext caller;
	Datum		value = values[0];

	if (isnull[0])
		return;
	caller = MemoryContextSwitchTo(build->row_context);
	if (IvfflatStoredValue(&build->support, &value))
	{
		IvfflatQuery query = IvfflatMakeQuery(&build->support, value);
		int			nearest = 0;

		IvfflatDistances(&build->support, &query, build->center_data, build->center_numbers, build->lists,
						 build->distances);
		for (int i = 1; i < build->lists; i++)
		{
			if (build->distances[i] < build->distances[nearest])
				nearest = i;
		}

		ExecClearTuple(slot);
		slot->tts_values[IVFFLAT_ROW_LIST] = Int32GetDatum(nearest);
		slot->tts_values[IVFFLAT_ROW_TID] = PointerGetDatum(tid);
		slot->tts_values[IVFFLAT_ROW_VALUE] = value;
		memset(slot->tts_isnull, 0, 3 * sizeof(bool));
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(build->sort, slot);
		build->index_tuples++;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextReset(build->row_context);
}

/*
 * A sort of rows by list; of a part of them, or of what other processes have sorted. In a list these come in any order, so
 * that then their place in the table decides: the same table gives the same index.
 */
Tuplesortstate *
IvfflatBeginSort(IvfflatBuild *build, int memory, SortCoordinate coordinate)
{
	AttrNumber	columns[] = {1 + IVFFLAT_ROW_LIST, 1 + IVFFLAT_ROW_TID};
	Oid			operators[] = {Int4LessOperator, TIDLessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};

	return tuplesort_begin_heap(build->row_descriptor, coordinate != NULL ? 2 : 1, columns, operators, collations,
								nulls_first, memory, coordinate, TUPLESORT_NONE);
}

static void
AssignRows(IvfflatBuild *build)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVFFLAT_PHASE_ASSIGN);
	if (IvfflatAssignParallel(build))
		return;
	build->sort = IvfflatBeginSort(build, maintenance_work_mem, NULL);
	if (build->heap != NULL)
		build->heap_tuples = table_index_build_scan(build->heap, build->index, build->info, true, true,
													IvfflatAssignRow, build, NULL);
	tuplesort_performsort(build->sort);
}

static void
Build(IvfflatBuild *build, ForkNumber fork)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat build", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, IVFFLAT_PHASE_CLUSTER);
	build->centers = IvfflatFindCenters(build);
	IvfflatPrepareCenters(build);
	AssignRows(build);
	IvfflatWritePages(build, fork);
	tuplesort_end(build->sort);
	if (build->leader != NULL)
		BuildEnd(build->leader);
	ExecDropSingleTupleTableSlot(build->row_slot);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	MemoryContextDelete(build->row_context);
}

IndexBuildResult *
ivfflat_build(Relation heap, Relation index, IndexInfo *info)
{
	IvfflatBuild build;
	IndexBuildResult *result;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data", RelationGetRelationName(index));
	IvfflatStartBuild(&build, heap, index, info);
	Build(&build, MAIN_FORKNUM);
	result = palloc(sizeof(IndexBuildResult));
	result->heap_tuples = build.heap_tuples;
	result->index_tuples = build.index_tuples;
	return result;
}

/*
 * The initial fork of an unlogged index, which it is reset to after a crash.
 */
void
ivfflat_build_empty(Relation index)
{
	IvfflatBuild build;

	IvfflatStartBuild(&build, NULL, index, BuildIndexInfo(index));
	Build(&build, INIT_FORKNUM);
}
