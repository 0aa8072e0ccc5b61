/*
 * How good an index is: the rows that it finds, compared with those that are nearest.
 */
#include "ruvector.h"

#include <math.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#define MAX_NEAREST 10000
#define MAX_SAMPLES 100000

typedef struct Evaluation
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	EState	   *executor;
	ExprState  *predicate;		/* of a partial index, or null */
	TupleTableSlot *slot;
	FmgrInfo	distance;		/* of the operator */
	Oid			operator_function;
	Oid			collation;
	int			nearest;		/* k */
	MemoryContext row_context;
} Evaluation;

/* Rows whose distance counts, the nearest k of them as a heap with the farthest first. */
typedef struct Nearest
{
	double	   *distances;
	int			count;
	int			capacity;
} Nearest;

static void
AddDistance(Nearest *nearest, double distance)
{
	double	   *heap = nearest->distances;
	int			place;

	if (nearest->count < nearest->capacity)
	{
		place = nearest->count++;
		while (place > 0 && heap[(place - 1) / 2] < distance)
		{
			heap[place] = heap[(place - 1) / 2];
			place = (place - 1) / 2;
		}
		heap[place] = distance;
		return;
	}
	if (!(distance < heap[0]))
		return;
	place = 0;
	for (;;)
	{
		int			child = 2 * place + 1;

		if (child >= nearest->count)
			break;
		if (child + 1 < nearest->count && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= distance)
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = distance;
}

/*
 * The indexed value of the row in the slot. False if the row is not in the index, or has no value.
 */
static bool
IndexedValue(Evaluation *evaluation, Datum *value)
{
	ExprContext *context = GetPerTupleExprContext(evaluation->executor);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	context->ecxt_scantuple = evaluation->slot;
	if (evaluation->predicate != NULL && !ExecQual(evaluation->predicate, context))
		return false;
	FormIndexDatum(evaluation->info, evaluation->slot, evaluation->executor, values, isnull);
	*value = values[0];
	return !isnull[0];
}

/*
 * Values of rows that are drawn at random, the same ones for the same table and seed.
 */
static int
DrawQueries(Evaluation *evaluation, Datum *queries, int wanted, uint64 seed)
{
	TableScanDesc scan = table_beginscan(evaluation->heap, GetActiveSnapshot(), 0, NULL);
	MemoryContext result = CurrentMemoryContext;
	pg_prng_state random;
	int64		seen = 0;

	pg_prng_seed(&random, seed);
	while (table_scan_getnextslot(scan, ForwardScanDirection, evaluation->slot))
	{
		MemoryContext caller = MemoryContextSwitchTo(evaluation->row_context);
		Datum		value;

		CHECK_FOR_INTERRUPTS();
		if (IndexedValue(evaluation, &value))
		{
			int64		place = seen++;

			if (place >= wanted)
				place = pg_prng_uint64_range(&random, 0, seen - 1);
			if (place < wanted)
			{
				if (place < seen - 1)
					pfree(DatumGetPointer(queries[place]));
				MemoryContextSwitchTo(result);
				queries[place] = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
			}
		}
		MemoryContextSwitchTo(caller);
		MemoryContextReset(evaluation->row_context);
		ResetPerTupleExprContext(evaluation->executor);
	}
	table_endscan(scan);
	return (int) Min(seen, wanted);
}

/* The distance of the row in the slot. */
static bool
RowDistance(Evaluation *evaluation, Datum query, double *distance)
{
	MemoryContext caller = MemoryContextSwitchTo(evaluation->row_context);
	Datum		value;
	bool		found = IndexedValue(evaluation, &value);

	if (found)
		*distance = DatumGetFloat8(FunctionCall2Coll(&evaluation->distance, evaluation->collation, value, query));
	MemoryContextSwitchTo(caller);
	MemoryContextReset(evaluation->row_context);
	ResetPerTupleExprContext(evaluation->executor);
	/* A vector of zeros has no cosine: it is not in the index, and not near to anything. */
	return found && !isnan(*distance);
}

/*
 * Distances of the nearest rows, of all that the table has.
 */
static void
SearchTable(Evaluation *evaluation, Datum query, Nearest *nearest)
{
	TableScanDesc scan = table_beginscan(evaluation->heap, GetActiveSnapshot(), 0, NULL);
	double		distance;

	nearest->count = 0;
	while (table_scan_getnextslot(scan, ForwardScanDirection, evaluation->slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (RowDistance(evaluation, query, &distance))
			AddDistance(nearest, distance);
	}
	table_endscan(scan);
}

/*
 * Distances of the rows that the index finds first.
 */
static int
SearchIndex(Evaluation *evaluation, Datum query, double *distances)
{
	IndexScanDesc scan = index_beginscan(evaluation->heap, evaluation->index, GetActiveSnapshot(), 0, 1);
	ScanKeyData key;
	int			count = 0;

	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, 1, InvalidOid, evaluation->collation, evaluation->operator_function,
						   query);
	index_rescan(scan, NULL, 0, &key, 1);
	while (count < evaluation->nearest && index_getnext_slot(scan, ForwardScanDirection, evaluation->slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (RowDistance(evaluation, query, &distances[count]))
			count++;
	}
	index_endscan(scan);
	return count;
}

static double
MillisecondsSince(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

static int
CompareDoubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The least of sorted values that so many of a hundred do not exceed. */
static double
Percentile(const double *sorted, int count, int percent)
{
	return sorted[Max(((int64) count * percent + 99) / 100, 1) - 1];
}

/*
 * What of the index and its table has to be so.
 */
static void
CheckIndex(Relation index, Relation heap, Oid operator)
{
	if (!index->rd_indam->amcanorderbyop || !OidIsValid(operator) || get_op_rettype(operator) != FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("index \"%s\" does not order rows by distance", RelationGetRelationName(index))));
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", RelationGetRelationName(index))));
	if (pg_class_aclcheck(RelationGetRelid(heap), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(heap));
	/* Policies would have to hold for both searches, and the index is searched below them. */
	if (check_enable_rls(RelationGetRelid(heap), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("recall of an index on a table with row-level security can be evaluated by its owner only")));
}

/*
 * Sets how wide the index is searched, until the nest level ends.
 */
static void
SetWidth(Relation index, int width)
{
	char	   *method = get_am_name(index->rd_rel->relam);
	char		value[16];
	const char *setting;

	if (strcmp(method, "hnsw") == 0)
		setting = "hnsw.ef_search";
	else if (strcmp(method, "ruhnsw") == 0)
		setting = "ruvector.ef_search";
	else if (strcmp(method, "ivfflat") == 0)
		setting = "ivfflat.probes";
	else
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ef cannot be set for access method \"%s\"", method)));
	snprintf(value, sizeof(value), "%d", width);
	set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static int
IntegerArgument(FunctionCallInfo fcinfo, int argument, const char *name, int most)
{
	int			value;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	value = PG_GETARG_INT32(argument);
	if (value < 1 || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between 1 and %d", name, most)));
	return value;
}

static void
Start(Evaluation *evaluation, Oid index_id)
{
	Oid			heap_id = IndexGetRelation(index_id, true);
	Oid			operator;

	if (!OidIsValid(heap_id))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not an index", index_id)));
	/* The table first, as everywhere. */
	evaluation->heap = table_open(heap_id, AccessShareLock);
	evaluation->index = index_open(index_id, AccessShareLock);
	operator = get_opfamily_member(evaluation->index->rd_opfamily[0], evaluation->index->rd_opcintype[0],
								   evaluation->index->rd_opcintype[0], 1);
	CheckIndex(evaluation->index, evaluation->heap, operator);
	evaluation->info = BuildIndexInfo(evaluation->index);
	evaluation->executor = CreateExecutorState();
	evaluation->predicate = ExecPrepareQual(evaluation->info->ii_Predicate, evaluation->executor);
	evaluation->slot = table_slot_create(evaluation->heap, NULL);
	evaluation->operator_function = get_opcode(operator);
	fmgr_info(evaluation->operator_function, &evaluation->distance);
	evaluation->collation = evaluation->index->rd_indcollation[0];
	evaluation->row_context = AllocSetContextCreate(CurrentMemoryContext, "recall row", ALLOCSET_DEFAULT_SIZES);
}

static void
End(Evaluation *evaluation)
{
	ExecDropSingleTupleTableSlot(evaluation->slot);
	FreeExecutorState(evaluation->executor);
	index_close(evaluation->index, AccessShareLock);
	table_close(evaluation->heap, AccessShareLock);
}

/*
 * ruvector_evaluate_recall(index regclass, k int, samples int, ef int, seed int)
 *
 * Values of rows are looked for, so that the nearest row is the row itself. A row that is found counts if it is not farther
 * than the k-th nearest one: of rows at the same distance, any will do.
 */
static Datum
EvaluateRecall(FunctionCallInfo fcinfo)
{
	Evaluation	evaluation = {0};
	int			k = IntegerArgument(fcinfo, 1, "k", MAX_NEAREST);
	int			samples = IntegerArgument(fcinfo, 2, "samples", MAX_SAMPLES);
	int			nest_level = NewGUCNestLevel();
	Datum	   *queries = palloc_array(Datum, samples);
	double	   *times = palloc_array(double, samples);
	double	   *found = palloc_array(double, k);
	Nearest		nearest = {.distances = palloc_array(double, k), .capacity = k};
	int64		hits = 0;
	int64		possible = 0;
	double		exact_time = 0;
	double		index_time = 0;
	Datum		values[6];
	bool		isnull[6] = {0};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	Start(&evaluation, PG_GETARG_OID(0));
	evaluation.nearest = k;
	if (!PG_ARGISNULL(3))
		SetWidth(evaluation.index, IntegerArgument(fcinfo, 3, "ef", PG_INT32_MAX));
	samples = DrawQueries(&evaluation, queries, samples, PG_ARGISNULL(4) ? 0 : (uint64) PG_GETARG_INT32(4));

	for (int i = 0; i < samples; i++)
	{
		instr_time	start;
		int			count;

		INSTR_TIME_SET_CURRENT(start);
		count = SearchIndex(&evaluation, queries[i], found);
		times[i] = MillisecondsSince(start);
		index_time += times[i];
		INSTR_TIME_SET_CURRENT(start);
		SearchTable(&evaluation, queries[i], &nearest);
		exact_time += MillisecondsSince(start);
		possible += nearest.count;
		for (int j = 0; j < count; j++)
		{
			if (nearest.count > 0 && found[j] <= nearest.distances[0])
				hits++;
		}
	}
	AtEOXact_GUC(true, nest_level);
	End(&evaluation);

	qsort(times, samples, sizeof(double), CompareDoubles);
	values[0] = Float8GetDatum(possible > 0 ? (double) hits / possible : 0);
	isnull[0] = possible == 0;
	isnull[1] = isnull[2] = isnull[3] = isnull[4] = samples == 0;
	if (samples > 0)
	{
		values[1] = Float8GetDatum(index_time / samples);
		values[2] = Float8GetDatum(Percentile(times, samples, 50));
		values[3] = Float8GetDatum(Percentile(times, samples, 99));
		values[4] = Float8GetDatum(exact_time / samples);
	}
	values[5] = Int32GetDatum(samples);
	tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	PG_RETURN_NULL();
}

SQL(ruvector_evaluate_recall, EvaluateRecall(fcinfo))
