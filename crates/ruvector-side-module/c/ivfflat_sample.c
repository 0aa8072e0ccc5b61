/*
 * The centres of an index `ivfflat`: a sample of the table is clustered.
 */
#include "ivfflat_build.h"

#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

/* Rows of the sample: so many for each list, but so many at least. */
#define SAMPLES_PER_LIST 50
#define SAMPLES_AT_LEAST 10000

/* If memory is short, fewer will do; but not fewer than these. */
#define FEW_SAMPLES_PER_LIST 20
#define FEW_SAMPLES 1000

/* The same table gives the same index. */
#define SEED 0x1F1A7

typedef struct Sample
{
	IvfflatBuild *build;
	char	   *numbers;
	Size		stride;
	int			count;
	int			capacity;
	ReservoirStateData reservoir;
	double		to_skip;
} Sample;

/* What an error in a callback of Rust was. */
typedef struct Interruption
{
	MemoryContext context;
	ErrorData  *error;
} Interruption;

/*
 * Is the computation to be stopped? Rust must not be left by longjmp, so that an error is kept until Rust has returned.
 */
static bool
IsInterrupted(void *state)
{
	Interruption *interruption = state;

	if (!INTERRUPTS_PENDING_CONDITION())
		return false;
	PG_TRY();
	{
		ProcessInterrupts();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(interruption->context);
		interruption->error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return interruption->error != NULL;
}

static void
AddToSample(Sample *sample, Datum value)
{
	const IvfflatSupport *support = &sample->build->support;
	struct varlena *datum;
	const char *numbers;
	int			place = sample->count;

	/* Vitter's reservoir: every row has the same chance to be in the sample. */
	if (place == sample->capacity)
	{
		if (sample->to_skip < 0)
			sample->to_skip = reservoir_get_next_S(&sample->reservoir, sample->count, sample->capacity);
		if (sample->to_skip-- > 0)
			return;
		place = (int) (sample->capacity * sampler_random_fract(&sample->reservoir.randstate));
	}

	value = PointerGetDatum(Detoasted(value));
	if (support->cluster_norm != NULL)
	{
		if (!(DatumGetFloat8(FunctionCall1Coll(support->cluster_norm, support->collation, value)) > 0))
			return;
		if (support->type->normalize != NULL)
			value = DirectFunctionCall1Coll(support->type->normalize, support->collation, value);
	}
	datum = (struct varlena *) DatumGetPointer(value);
	numbers = IvfflatDatumNumbers(support, datum, VARSIZE_ANY(datum));
	if (numbers == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("value does not have the dimensions of the index")));
	if (support->type->elements == IVFFLAT_HALF)
		ruvector_ivfflat_widen(support->dimensions, numbers, (float *) (sample->numbers + place * sample->stride));
	else
		memcpy(sample->numbers + place * sample->stride, numbers, sample->stride);
	if (place == sample->count)
		sample->count++;
}

static void
SampleRow(Relation index, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *state)
{
	Sample	   *sample = state;
	MemoryContext caller;

	if (isnull[0])
		return;
	caller = MemoryContextSwitchTo(sample->build->row_context);
	AddToSample(sample, values[0]);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(sample->build->row_context);
}

/*
 * Takes the sample, from as many blocks as it has rows.
 */
static void
SampleTable(Sample *sample)
{
	IvfflatBuild *build = sample->build;
	BlockNumber blocks = RelationGetNumberOfBlocks(build->heap);
	BlockSamplerData sampler;

	reservoir_init_selection_state(&sample->reservoir, sample->capacity);
	sampler_random_init_state(SEED, &sample->reservoir.randstate);
	sample->to_skip = -1;
	if (blocks <= sample->capacity)
	{
		table_index_build_range_scan(build->heap, build->index, build->info, false, true, false, 0, InvalidBlockNumber,
									 SampleRow, sample, NULL);
		return;
	}
	BlockSampler_Init(&sampler, blocks, sample->capacity, SEED);
	while (BlockSampler_HasMore(&sampler))
	{
		BlockNumber block = BlockSampler_Next(&sampler);

		CHECK_FOR_INTERRUPTS();
		table_index_build_range_scan(build->heap, build->index, build->info, false, true, false, block, 1, SampleRow,
									 sample, NULL);
	}
}

/*
 * How many rows to sample: what memory allows. If that is too few, it is an error.
 */
static int
SampleSize(IvfflatBuild *build)
{
	IvfflatElements elements = build->support.type->elements;
	uint32		dimensions = build->support.dimensions;
	uint64		wanted = Max((uint64) build->lists * SAMPLES_PER_LIST, SAMPLES_AT_LEAST);
	uint64		enough = Max((uint64) build->lists * FEW_SAMPLES_PER_LIST, FEW_SAMPLES);
	uint64		allowed = (uint64) maintenance_work_mem * 1024;
	uint64		fixed = ruvector_ivfflat_memory(elements, dimensions, build->lists, 0);
	uint64		needed;
	uint64		each;

	if (build->heap == NULL)
		wanted = 0;
	/* Memory that is never used costs as well, where it is an instance of WebAssembly that has to grow for it. */
	else if (build->heap->rd_rel->relam == HEAP_TABLE_AM_OID)
		wanted = Min(wanted, (uint64) RelationGetNumberOfBlocks(build->heap) * MaxHeapTuplesPerPage);
	enough = Min(enough, wanted);

	needed = ruvector_ivfflat_memory(elements, dimensions, build->lists, wanted);
	each = wanted > 0 ? (needed - fixed + wanted - 1) / wanted : 0;
	if (needed > allowed && fixed < allowed && (allowed - fixed) / each >= enough)
	{
		wanted = (allowed - fixed) / each;
		needed = allowed;
	}
	if (needed > allowed)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("memory required is %zu MB, maintenance_work_mem is %d MB",
						(Size) (needed / (1024 * 1024)) + 1, maintenance_work_mem / 1024)));
	return (int) wanted;
}

/*
 * Finds the centres: as many numbers of values as there are lists, one behind the other.
 */
char *
IvfflatFindCenters(IvfflatBuild *build)
{
	const IvfflatSupport *support = &build->support;
	Sample		sample = {.build = build, .capacity = SampleSize(build)};
	Interruption interruption = {.context = CurrentMemoryContext};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "ivfflat clustering", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;
	Failure		failure;
	char	   *centers = MemoryContextAllocHuge(CurrentMemoryContext, build->lists * IvfflatNumbersSize(support));

	caller = MemoryContextSwitchTo(context);
	sample.stride = support->type->elements == IVFFLAT_BITS ? IvfflatNumbersSize(support)
		: (Size) support->dimensions * sizeof(float);
	/* The size has been compared with maintenance_work_mem in 64 bits. */
	sample.numbers = MemoryContextAllocHuge(context, Max((Size) sample.capacity * sample.stride, 1));
	if (sample.capacity > 0)
		SampleTable(&sample);
	if (build->heap != NULL && sample.count < build->lists)
		ereport(NOTICE,
				(errmsg("ivfflat index created with little data"),
				 errdetail("This will cause low recall."),
				 errhint("Drop the index until the table has more data.")));

	if (!ruvector_ivfflat_cluster(support->type->elements, support->dimensions, sample.numbers, sample.count,
								  build->lists, support->cluster_norm != NULL, SEED, IsInterrupted, &interruption,
								  centers, &failure))
	{
		if (interruption.error != NULL)
			ReThrowError(interruption.error);
		RaiseFailure(&failure);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return centers;
}
