/*
 * What an index of hnsw is of, and codes of its vectors.
 */
#include "hnsw.h"

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

static int
MostDimensions(uint32 kind)
{
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
Unsupported(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("type not supported for hnsw index")));
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
	Unsupported();
}

/*
 * An index that is to be built, or will have been.
 */
void
HnswDescribe(Relation index, HnswInfo *info)
{
	HnswOptions *options = (HnswOptions *) index->rd_options;
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(index), 0);
	int32		dimensions = column->atttypmod;

	/* Which can use the operator classes of bit, but says how many bits there may be, not how many there are. */
	if (column->atttypid == VARBITOID)
		Unsupported();
	memset(info, 0, sizeof(HnswInfo));
	FindDistance(index, info);
	info->settings.m = options ? options->m : HNSW_DEFAULT_M;
	info->settings.ef_construction = options ? options->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;

	if (dimensions < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions")));
	if (dimensions > MostDimensions(info->settings.kind))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for hnsw index",
						MostDimensions(info->settings.kind))));
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
	info->settings.room = info->code_length > 0 ? info->code_length : HNSW_MAX_NONZERO * 8;
	info->highest_level = HnswHighestLevel(info->settings.m);
}

/*
 * An index that there is, remembered as long as its entry in the relation cache. What decides about the layout of pages
 * is taken from the index itself; options may have been changed since.
 */
const HnswInfo *
HnswGetInfo(Relation index)
{
	HnswInfo   *info;
	Buffer		buffer;
	Page		page;
	HnswMeta	meta;

	if (index->rd_amcache != NULL)
		return index->rd_amcache;

	buffer = ReadBuffer(index, HNSW_META_BLOCK);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = HnswCheckPage(index, buffer);
	if (page == NULL)
		HnswCorrupted(index, HNSW_META_BLOCK);
	meta = *HnswPageMeta(page);
	UnlockReleaseBuffer(buffer);
	if (meta.magic != HNSW_MAGIC || meta.layout != HNSW_LAYOUT || meta.quantizer != HNSW_EXACT ||
		meta.m < 2 || meta.m > HNSW_MAX_M)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("hnsw index is not valid")));

	info = MemoryContextAlloc(index->rd_indexcxt, sizeof(HnswInfo));
	HnswDescribe(index, info);
	info->settings.m = meta.m;
	info->settings.ef_construction = Max(info->settings.ef_construction, 2 * meta.m);
	info->highest_level = HnswHighestLevel(meta.m);
	if (meta.dimensions != info->dimensions || meta.kind != info->settings.kind ||
		meta.metric != info->settings.metric)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is not of the vectors that its definition says",
						RelationGetRelationName(index)),
				 errhint("Please REINDEX it.")));
	index->rd_amcache = info;
	return info;
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

/*
 * The code of a value that is to be indexed; false if it is one that indexes do not have. It may refer to the value.
 */
bool
HnswFormCode(const HnswInfo *info, Datum value, HnswCode *code)
{
	uint32		dimensions;

	if (info->settings.kind == KIND_BIT)
		BitCode(value, code, &dimensions);
	else
	{
		View		view = DatumView(value, info->settings.kind);

		if (view.kind == KIND_SPARSEVEC && view.elements > HNSW_MAX_NONZERO)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("sparsevec cannot have more than %d non-zero elements for hnsw index",
							HNSW_MAX_NONZERO)));
		if (info->normalize)
		{
			/* Zeros have no direction. */
			if (!(ruvector_norm(&view) > 0))
				return false;
			view = Normalized(&view);
		}
		dimensions = view.dimensions;
		*code = ViewCode(&view);
	}
	if (dimensions != info->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", (int) info->dimensions, (int) dimensions)));
	return true;
}

/*
 * The code of what is searched for.
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
		*code = ViewCode(&view);
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
