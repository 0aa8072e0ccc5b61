/*
 * What an index of hnsw is of, and codes of its vectors.
 */
#include "hnsw.h"

#include <math.h>

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/varbit.h"
#include "varatt.h"

typedef struct KnownDistance
{
	const char *function;
	uint32		kind;
	HnswMetric	metric;
} KnownDistance;

/* Support functions 1 of operator classes. */
static const KnownDistance known_distances[] = {
	{"vector_l2_squared_distance", KIND_VECTOR, HNSW_L2},
	{"vector_negative_inner_product", KIND_VECTOR, HNSW_INNER_PRODUCT},
	{"l1_distance", KIND_VECTOR, HNSW_L1},
	{"halfvec_l2_squared_distance", KIND_HALFVEC, HNSW_L2},
	{"halfvec_negative_inner_product", KIND_HALFVEC, HNSW_INNER_PRODUCT},
	{"sparsevec_l2_squared_distance", KIND_SPARSEVEC, HNSW_L2},
	{"sparsevec_negative_inner_product", KIND_SPARSEVEC, HNSW_INNER_PRODUCT},
	{"hamming_distance", KIND_BIT, HNSW_HAMMING},
	{"jaccard_distance", KIND_BIT, HNSW_JACCARD},
};

int
HnswMostDimensions(uint32 kind, HnswQuantizer quantizer)
{
	if (quantizer == HNSW_SQ8)
		return HNSW_SQ8_MOST_DIMENSIONS;
	if (quantizer == HNSW_RABITQ)
		return HNSW_RABITQ_MOST_DIMENSIONS;
	/* As many as of half precision vectors. */
	if (quantizer == HNSW_F16)
		kind = KIND_HALFVEC;
	switch (kind)
	{
		case KIND_VECTOR:
			return 2000;
		case KIND_HALFVEC:
			return 4000;
		case KIND_BIT:
			return 64000;
		default:
			return 1000000000;
	}
}

static void
Unsupported(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("type not supported for %s index", HnswMethodName(index))));
}

/*
 * The kind and the metric, of the name of the distance, which does not depend on how libraries are linked. Functions of
 * three types are called l1_distance: there the further support function tells the type.
 */
static void
FindDistance(Relation index, HnswInfo *info)
{
	Oid			function = index_getprocid(index, 1, 1);
	Oid			support = index_getprocid(index, 1, 3);
	char	   *name = OidIsValid(function) ? get_func_name(function) : NULL;
	char	   *support_name = OidIsValid(support) ? get_func_name(support) : NULL;

	for (int i = 0; name != NULL && i < lengthof(known_distances); i++)
	{
		if (strcmp(name, known_distances[i].function) != 0)
			continue;
		info->settings.kind = known_distances[i].kind;
		info->settings.metric = known_distances[i].metric;
		if (info->settings.metric == HNSW_L1 && support_name != NULL)
			info->settings.kind = strcmp(support_name, "hnsw_halfvec_support") == 0 ? KIND_HALFVEC : KIND_SPARSEVEC;
		info->normalize = OidIsValid(index_getprocid(index, 1, 2));
		return;
	}
	Unsupported(index);
}

/*
 * An index that is to be built, or will have been. The centres of a quantiser and its step are not known here.
 */
void
HnswDescribe(Relation index, HnswInfo *info, HnswQuantizer quantizer)
{
	HnswOptions *options = (HnswOptions *) index->rd_options;
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(index), 0);
	int32		dimensions = column->atttypmod;

	/* Which can use the operator classes of bit, but says how many bits there may be, not how many there are. */
	if (column->atttypid == VARBITOID)
		Unsupported(index);
	memset(info, 0, sizeof(HnswInfo));
	FindDistance(index, info);
	info->settings.m = options ? options->m : HNSW_DEFAULT_M;
	info->settings.ef_construction = options ? options->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;

	if (dimensions < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions")));
	if (dimensions > HnswMostDimensions(info->settings.kind, quantizer))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for %s index",
						HnswMostDimensions(info->settings.kind, quantizer), HnswMethodName(index))));
	info->dimensions = dimensions;

	switch (info->settings.kind)
	{
		case KIND_VECTOR:
			info->code_length = sizeof(float) * dimensions;
			break;
		case KIND_HALFVEC:
			info->code_length = sizeof(uint16) * dimensions;
			break;
		case KIND_BIT:
			info->code_length = (dimensions + BITS_PER_BYTE - 1) / BITS_PER_BYTE;
			break;
		default:
			info->code_length = 0;
	}
	/* These are codes of themselves. */
	if (quantizer == HNSW_F16 && info->settings.kind == KIND_HALFVEC)
		quantizer = HNSW_EXACT;
	info->settings.quantizer = quantizer;
	if (quantizer != HNSW_EXACT)
	{
		if (info->settings.kind != KIND_VECTOR && info->settings.kind != KIND_HALFVEC)
			Unsupported(index);
		/* Of vectors of length one the distance gives the same order, and needs no offsets. */
		if (info->normalize)
			info->settings.metric = HNSW_L2;
	}
	if (quantizer == HNSW_RABITQ)
	{
		/* Estimates are of angles and lengths. */
		if (info->settings.metric == HNSW_L1)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("quantizer \"%s\" does not support L1 distance", HnswQuantizerName(quantizer)),
					 errhint("Use \"%s\" instead.", HnswQuantizerName(HNSW_SQ8))));
		info->settings.seed = HNSW_RABITQ_SEED;
	}
	info->prepared_length = info->code_length;
	if (quantizer != HNSW_EXACT)
		ruvector_hnsw_code_lengths(&info->settings, dimensions, &info->code_length, &info->prepared_length);
	if (HnswHasCenters(info))
		info->parameter_pages = (sizeof(float) * dimensions + HNSW_PAGE_ROOM - 1) / HNSW_PAGE_ROOM;
	Assert(quantizer == HNSW_EXACT || HnswItemRoom(HnswElementSize(info->code_length)) <= HNSW_PAGE_ROOM);
	info->first_block = HNSW_FIRST_PARAMETER_BLOCK + info->parameter_pages;
	info->settings.room = info->code_length > 0 ? info->code_length : HNSW_MAX_NONZERO * 8;
	info->highest_level = HnswHighestLevel(info->settings.m);
}

/*
 * A copy that stays: what is remembered may go whenever another relation is opened.
 */
const HnswInfo *
HnswCopyInfo(const HnswInfo *info, MemoryContext context)
{
	Size		center_size = info->center != NULL ? sizeof(float) * info->dimensions : 0;
	HnswInfo   *copy = MemoryContextAlloc(context, sizeof(HnswInfo) + center_size);

	*copy = *info;
	if (info->center != NULL)
	{
		copy->center = (float *) (copy + 1);
		memcpy(copy + 1, info->center, center_size);
	}
	return copy;
}

/*
 * An index that there is, remembered as long as its entry in the relation cache. What decides about the layout of pages
 * is taken from the index itself; options may have been changed since.
 */
const HnswInfo *
HnswGetInfo(Relation index)
{
	HnswInfo	info;
	Buffer		buffer;
	Page		page;
	HnswMeta	meta;

	/* The first row gives a quantiser its step, if there was none when the index was built. */
	if (index->rd_amcache != NULL && !HnswIsUntrained((HnswInfo *) index->rd_amcache))
		return index->rd_amcache;

	buffer = ReadBuffer(index, HNSW_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = HnswCheckPage(index, buffer);
	if (page == NULL)
		HnswCorrupted(index, HNSW_META_BLOCK);
	meta = *HnswPageMeta(page);
	UnlockReleaseBuffer(buffer);
	if (meta.magic != HNSW_MAGIC || meta.layout != HNSW_LAYOUT ||
		meta.quantizer > HNSW_RABITQ || meta.m < 2 || meta.m > HNSW_MAX_M)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("%s index is not valid", HnswMethodName(index))));

	HnswDescribe(index, &info, meta.quantizer);
	info.settings.seed = meta.seed;
	info.settings.m = meta.m;
	info.settings.ef_construction = Max(info.settings.ef_construction, 2 * meta.m);
	info.highest_level = HnswHighestLevel(meta.m);
	if (meta.dimensions != info.dimensions || meta.kind != info.settings.kind ||
		meta.metric != info.settings.metric)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is not of the vectors that its definition says",
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	if (HnswHasCenters(&info))
	{
		float	   *center;

		if (meta.parameter_pages != info.parameter_pages)
			HnswCorrupted(index, HNSW_META_BLOCK);
		info.center = center = HnswReadParameters(index, &info);
		if (meta.checksum != HnswChecksum(&info, meta.step) || !isfinite(meta.step) || meta.step < 0)
			HnswCorrupted(index, HNSW_META_BLOCK);
		info.settings.step = meta.step;
		if (index->rd_amcache != NULL)
			pfree(index->rd_amcache);
		index->rd_amcache = NULL;
		index->rd_amcache = (void *) HnswCopyInfo(&info, index->rd_indexcxt);
		pfree(center);
	}
	else
		index->rd_amcache = (void *) HnswCopyInfo(&info, index->rd_indexcxt);
	return index->rd_amcache;
}

static void
BitCode(Datum value, HnswCode *code, uint32 *dimensions)
{
	VarBit	   *bits = DatumGetVarBitP(value);

	*dimensions = VARBITLEN(bits);
	code->data = (const char *) VARBITS(bits);
	code->length = VARBITBYTES(bits);
}

static HnswCode
ViewCode(const View *view)
{
	HnswCode	code;

	switch (view->kind)
	{
		case KIND_VECTOR:
			code.data = view->values;
			code.length = (Size) view->elements * sizeof(float);
			break;
		case KIND_HALFVEC:
			code.data = view->values;
			code.length = (Size) view->elements * sizeof(uint16);
			break;
		default:
			/* The values follow the positions. */
			code.data = (const char *) view->indices;
			code.length = (Size) view->elements * 8;
	}
	return code;
}

static View
Normalized(const View *view)
{
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_normalize(view, &bytes, &failure));
	return DatumView(ResultDatum(bytes), view->kind);
}

static HnswCode
QuantizedCode(const HnswInfo *info, const View *view)
{
	HnswCode	code = {palloc(info->prepared_length), info->prepared_length};
	Failure		failure;

	CHECK(ruvector_hnsw_encode(&info->settings, view, info->center, info->dimensions, (char *) code.data, &failure));
	return code;
}

static void
CheckDimensions(const HnswInfo *info, uint32 dimensions)
{
	if (dimensions != info->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", (int) info->dimensions, (int) dimensions)));
}

/*
 * A dense vector as it is indexed; false if it is one that indexes do not have.
 */
bool
HnswCheckView(const HnswInfo *info, View *view)
{
	if (info->normalize)
	{
		/* Zeros have no direction. */
		if (!(ruvector_norm(view) > 0))
			return false;
		*view = Normalized(view);
	}
	CheckDimensions(info, view->dimensions);
	return true;
}

/*
 * The code of a value that is to be indexed; false if it is one that indexes do not have. It may refer to the value.
 */
bool
HnswFormCode(const HnswInfo *info, Datum value, HnswCode *code)
{
	if (info->settings.kind == KIND_BIT)
	{
		uint32		dimensions;

		BitCode(value, code, &dimensions);
		CheckDimensions(info, dimensions);
	}
	else
	{
		View		view = DatumView(value, info->settings.kind);

		if (view.kind == KIND_SPARSEVEC && view.elements > HNSW_MAX_NONZERO)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("sparsevec cannot have more than %d non-zero elements for hnsw index",
							HNSW_MAX_NONZERO)));
		if (!HnswCheckView(info, &view))
			return false;
		*code = HnswIsQuantized(info) ? QuantizedCode(info, &view) : ViewCode(&view);
	}
	return true;
}

/*
 * The code of what is searched for. It stays as it was, if the index cannot have one.
 */
void
HnswFormQuery(const HnswInfo *info, Datum value, HnswCode *code, uint32 *dimensions)
{
	if (info->settings.kind == KIND_BIT)
		BitCode(value, code, dimensions);
	else
	{
		View		view = DatumView(value, info->settings.kind);

		if (info->normalize)
			view = Normalized(&view);
		*dimensions = view.dimensions;
		if (!HnswIsQuantized(info))
			*code = ViewCode(&view);
		/* What cannot be searched for, as far as is known, is so only in an empty index. */
		else if (view.dimensions == info->dimensions && !HnswIsUntrained(info))
			*code = QuantizedCode(info, &view);
	}
}

/*
 * Raises what a function of Rust has failed with, or hands on what it was left for.
 */
int
HnswCheckStatus(int status, const Failure *failure)
{
	if (status == HNSW_RETHROW)
		PG_RE_THROW();
	if (status == HNSW_FAILED)
		RaiseFailure(failure);
	return status;
}
