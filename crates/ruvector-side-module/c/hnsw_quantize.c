/*
 * Quantisers of ruhnsw: what they are trained with, and where their centres are.
 *
 * An index is trained when it is built. Where there are too few rows for that, it gets whole vectors instead of codes if
 * they fit on pages; otherwise codes around zero, whose step, if they have one, is that of the first rows, or, if there is
 * none at all, of the row that comes first.
 */
#include "hnsw.h"

#include <math.h>

#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufpage.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/sampling.h"

#define SAMPLE_ROWS 10000

/* The same table gives the same index. */
#define SEED 0x5938

typedef struct Sample
{
	const HnswInfo *info;
	MemoryContext row_context;
	float	   *numbers;
	int			count;
	int			room;
	ReservoirStateData reservoir;
	double		to_skip;
} Sample;

#define CENTERS_PER_PAGE (HNSW_PAGE_ROOM / sizeof(float))

static void
AddToSample(Sample *sample, Datum value)
{
	View		view;
	int			place = sample->count;

	/* Vitter's reservoir: every row has the same chance to be in the sample. */
	if (place == sample->room)
	{
		if (sample->to_skip < 0)
			sample->to_skip = reservoir_get_next_S(&sample->reservoir, sample->count, sample->room);
		if (sample->to_skip-- > 0)
			return;
		place = (int) (sample->room * sampler_random_fract(&sample->reservoir.randstate));
	}
	view = DatumView(value, sample->info->settings.kind);
	if (!HnswCheckView(sample->info, &view))
		return;
	ruvector_hnsw_numbers(&view, sample->numbers + (Size) place * sample->info->dimensions);
	if (place == sample->count)
		sample->count++;
}

static void
SampleRow(Relation index, ItemPointer row, Datum *values, bool *isnull, bool alive, void *argument)
{
	Sample	   *sample = argument;
	MemoryContext old_context;

	CHECK_FOR_INTERRUPTS();
	if (isnull[0])
		return;
	old_context = MemoryContextSwitchTo(sample->row_context);
	AddToSample(sample, values[0]);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(sample->row_context);
}

static void
StartSample(Sample *sample)
{
	sample->count = 0;
	sample->to_skip = -1;
	reservoir_init_selection_state(&sample->reservoir, sample->room);
	sampler_random_init_state(SEED, &sample->reservoir.randstate);
}

/*
 * Takes the sample from as many blocks as it has rows, or, if that gives too few, from all.
 */
static void
SampleTable(Sample *sample, Relation heap, Relation index, IndexInfo *index_info)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(heap);
	BlockSamplerData sampler;

	StartSample(sample);
	if (blocks > sample->room)
	{
		BlockSampler_Init(&sampler, blocks, sample->room, SEED);
		while (BlockSampler_HasMore(&sampler))
		{
			BlockNumber block = BlockSampler_Next(&sampler);

			CHECK_FOR_INTERRUPTS();
			table_index_build_range_scan(heap, index, index_info, false, true, false, block, 1, SampleRow, sample, NULL);
		}
		if (sample->count >= HNSW_FEW_ROWS)
			return;
		StartSample(sample);
	}
	table_index_build_range_scan(heap, index, index_info, false, true, false, 0, InvalidBlockNumber, SampleRow, sample,
								 NULL);
}

/* Training takes each number of the sample twice. Half of the memory will do, and is not less than a few rows. */
static int
SampleRows(const HnswInfo *info)
{
	uint64		row = (uint64) info->dimensions * 2 * sizeof(float);
	uint64		memory = (uint64) maintenance_work_mem * 1024 / 2;

	return (int) Max(Min(memory / row, SAMPLE_ROWS), HNSW_FEW_ROWS);
}

/*
 * What an index gets that cannot be trained.
 */
void
HnswTrainEmpty(Relation index, HnswInfo *info)
{
	if (info->dimensions <= HnswMostDimensions(info->settings.kind, HNSW_EXACT))
		HnswDescribe(index, info, HNSW_EXACT);
	else
		info->center = palloc0(sizeof(float) * info->dimensions);
}

/*
 * Trains the quantiser of an index that is to be built.
 */
void
HnswTrain(Relation heap, Relation index, IndexInfo *index_info, HnswInfo *info)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hnsw training", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context;
	Sample		sample = {.info = info, .room = SampleRows(info)};
	bool		few;
	Failure		failure;

	sample.numbers = MemoryContextAllocHuge(context, (Size) sample.room * info->dimensions * sizeof(float));
	sample.row_context = AllocSetContextCreate(context, "hnsw training row", ALLOCSET_DEFAULT_SIZES);
	SampleTable(&sample, heap, index, index_info);
	few = sample.count < HNSW_FEW_ROWS;
	if (few)
	{
		HnswTrainEmpty(index, info);
		ereport(NOTICE,
				(errmsg("ruhnsw index created with little data"),
				 HnswIsQuantized(info) ? errdetail("Its codes are not fitted to the data, so that recall may be low.")
				 : errdetail("It has whole vectors instead of codes, and takes more room."),
				 errhint("REINDEX it when the table has more data.")));
	}
	else
		info->center = palloc(sizeof(float) * info->dimensions);

	if (HnswIsQuantized(info) && sample.count > 0)
	{
		old_context = MemoryContextSwitchTo(context);
		CHECK(ruvector_hnsw_train(&info->settings, sample.numbers, sample.count, info->dimensions, few,
								  (float *) info->center, &info->settings.step, &failure));
		MemoryContextSwitchTo(old_context);
	}
	MemoryContextDelete(context);
}

/*
 * The step by which a value is within the range of codes around zero.
 */
float
HnswFirstStep(const HnswInfo *info, Datum value)
{
	View		view = DatumView(value, info->settings.kind);
	float	   *numbers = palloc(sizeof(float) * info->dimensions);
	float	   *center = palloc(sizeof(float) * info->dimensions);
	Failure		failure;
	float		step;

	/* A vector that is not indexed will do as well. */
	if (!HnswCheckView(info, &view))
		return 0;
	ruvector_hnsw_numbers(&view, numbers);
	CHECK(ruvector_hnsw_train(&info->settings, numbers, 1, info->dimensions, true, center, &step, &failure));
	return step;
}

/*
 * Gives an index that could not be trained the step that the first row needs, if none has come before it.
 */
void
HnswTrainFirst(Relation index, Datum value)
{
	const HnswInfo *info = HnswCopyInfo(HnswGetInfo(index), CurrentMemoryContext);
	HnswAccess	access = {.index = index, .info = info};
	float		step = HnswFirstStep(info, value);
	Buffer		buffer;
	HnswChange	change;
	Page		page;

	/* The first row alone decides: sums over codes depend on the step. */
	LockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
	buffer = ReadBuffer(index, HNSW_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = HnswCheckPage(index, buffer);
	if (page == NULL)
		HnswCorrupted(index, HNSW_META_BLOCK);
	if (HnswPageMeta(page)->step == 0 && step > 0)
	{
		HnswMeta   *meta;

		HnswBeginChange(&change, &access);
		meta = HnswPageMeta(HnswChangePage(&change, buffer, false));
		meta->step = step;
		meta->checksum = HnswChecksum(info, step);
		HnswFinishChange(&change);
	}
	UnlockReleaseBuffer(buffer);
	UnlockPage(index, HNSW_UPDATE_LOCK, ExclusiveLock);
}

static uint32
AddToChecksum(uint32 sum, float number)
{
	uint32		bits;

	memcpy(&bits, &number, sizeof(bits));
	for (int shift = 0; shift < 32; shift += 8)
		sum = (sum ^ (bits >> shift & 0xFF)) * 0x01000193;
	return sum;
}

/* FNV-1a: damaged centres would give codes that mean something else, and rows would not be found. */
uint32
HnswChecksum(const HnswInfo *info, float step)
{
	uint32		sum = AddToChecksum(0x811C9DC5, step);

	for (uint32 i = 0; i < info->dimensions; i++)
		sum = AddToChecksum(sum, info->center[i]);
	return sum;
}

static uint32
CentersOfPage(const HnswInfo *info, uint32 number)
{
	return Min(info->dimensions - number * CENTERS_PER_PAGE, CENTERS_PER_PAGE);
}

/*
 * Makes one of the pages with the centres.
 */
void
HnswInitParameters(Page page, const HnswInfo *info, uint32 number)
{
	Size		size = sizeof(float) * CentersOfPage(info, number);

	HnswInitPage(page);
	HnswPageOpaque(page)->page_id = HNSW_PARAMETERS_PAGE_ID;
	memcpy(PageGetContents(page), info->center + number * CENTERS_PER_PAGE, size);
	((PageHeader) page)->pd_lower = PageGetContents(page) + size - (char *) page;
}

/*
 * Reads the centres. They are not right if their checksum is not.
 */
float *
HnswReadParameters(Relation index, const HnswInfo *info)
{
	float	   *center = palloc(sizeof(float) * info->dimensions);

	for (uint32 i = 0; i < info->parameter_pages; i++)
	{
		BlockNumber block = HNSW_FIRST_PARAMETER_BLOCK + i;
		Size		size = sizeof(float) * CentersOfPage(info, i);
		Buffer		buffer = ReadBuffer(index, block);
		Page		page;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = HnswCheckPageOf(index, buffer, HNSW_PARAMETERS_PAGE_ID);
		if (page == NULL || ((PageHeader) page)->pd_lower != PageGetContents(page) + size - (char *) page)
			HnswCorrupted(index, block);
		memcpy(center + i * CENTERS_PER_PAGE, PageGetContents(page), size);
		UnlockReleaseBuffer(buffer);
	}
	return center;
}
