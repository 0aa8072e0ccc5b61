/*
 * Operator classes of `ivfflat`: which distance, which type, and where the numbers of a datum are.
 */
#include "ivfflat.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varbit.h"
#include "varatt.h"

extern Datum l2_normalize(PG_FUNCTION_ARGS);
extern Datum halfvec_l2_normalize(PG_FUNCTION_ARGS);

static const IvfflatType vector_type = {IVFFLAT_SINGLE, 2000, l2_normalize};
static const IvfflatType halfvec_type = {IVFFLAT_HALF, 4000, halfvec_l2_normalize};
static const IvfflatType bit_type = {IVFFLAT_BITS, 64000, NULL};

SQL(ivfflat_halfvec_support, PointerGetDatum(&halfvec_type))
SQL(ivfflat_bit_support, PointerGetDatum(&bit_type))

/*
 * Is the function the one of this name in this library? Its address does not tell: where WebAssembly modules are linked
 * at run time, a function can have several. So names are compared, those of the library with that of the access
 * method's handler.
 */
static IvfflatMeasure
MeasureOf(Oid function, Oid handler, IvfflatElements elements)
{
	static const struct
	{
		IvfflatElements elements;
		IvfflatMeasure measure;
		const char *name;
	}			known[] = {
		{IVFFLAT_SINGLE, IVFFLAT_L2_SQUARED, "vector_l2_squared_distance"},
		{IVFFLAT_SINGLE, IVFFLAT_NEGATIVE_INNER_PRODUCT, "vector_negative_inner_product"},
		{IVFFLAT_HALF, IVFFLAT_L2_SQUARED, "halfvec_l2_squared_distance"},
		{IVFFLAT_HALF, IVFFLAT_NEGATIVE_INNER_PRODUCT, "halfvec_negative_inner_product"},
		{IVFFLAT_BITS, IVFFLAT_HAMMING, "hamming_distance"},
	};
	HeapTuple	function_row = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	HeapTuple	handler_row = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler));
	IvfflatMeasure measure = IVFFLAT_OTHER;

	if (HeapTupleIsValid(function_row) && HeapTupleIsValid(handler_row) &&
		((Form_pg_proc) GETSTRUCT(function_row))->prolang == ((Form_pg_proc) GETSTRUCT(handler_row))->prolang)
	{
		bool		isnull[3];
		Datum		library = SysCacheGetAttr(PROCOID, function_row, Anum_pg_proc_probin, &isnull[0]);
		Datum		own_library = SysCacheGetAttr(PROCOID, handler_row, Anum_pg_proc_probin, &isnull[1]);
		Datum		symbol = SysCacheGetAttr(PROCOID, function_row, Anum_pg_proc_prosrc, &isnull[2]);

		if (!isnull[0] && !isnull[1] && !isnull[2] &&
			strcmp(TextDatumGetCString(library), TextDatumGetCString(own_library)) == 0)
		{
			char	   *name = TextDatumGetCString(symbol);

			for (int i = 0; i < lengthof(known); i++)
			{
				if (known[i].elements == elements && strcmp(known[i].name, name) == 0)
					measure = known[i].measure;
			}
		}
	}
	if (HeapTupleIsValid(function_row))
		ReleaseSysCache(function_row);
	if (HeapTupleIsValid(handler_row))
		ReleaseSysCache(handler_row);
	return measure;
}

static FmgrInfo *
OptionalFunction(Relation index, uint16 number)
{
	if (!OidIsValid(index_getprocid(index, 1, number)))
		return NULL;
	return index_getprocinfo(index, 1, number);
}

void
IvfflatLoadSupport(Relation index, IvfflatSupport *support)
{
	FmgrInfo   *type = OptionalFunction(index, IVFFLAT_TYPE_PROC);

	support->type = &vector_type;
	if (type != NULL)
		support->type = (const IvfflatType *) DatumGetPointer(FunctionCall1Coll(type, InvalidOid, PointerGetDatum(NULL)));
	support->dimensions = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;
	support->distance = index_getprocinfo(index, 1, IVFFLAT_DISTANCE_PROC);
	support->norm = OptionalFunction(index, IVFFLAT_NORM_PROC);
	support->cluster_norm = OptionalFunction(index, IVFFLAT_CLUSTER_NORM_PROC);
	support->collation = index->rd_indcollation[0];

	/* Which distance it is does not change as long as the relation is in the cache. */
	if (index->rd_amcache == NULL)
	{
		IvfflatMeasure *measure = MemoryContextAlloc(index->rd_indexcxt, sizeof(IvfflatMeasure));

		*measure = MeasureOf(support->distance->fn_oid, index->rd_amhandler, support->type->elements);
		index->rd_amcache = measure;
	}
	support->measure = *(IvfflatMeasure *) index->rd_amcache;
}

/* The size of a value's numbers. */
Size
IvfflatNumbersSize(const IvfflatSupport *support)
{
	switch (support->type->elements)
	{
		case IVFFLAT_SINGLE:
			return (Size) support->dimensions * 4;
		case IVFFLAT_HALF:
			return (Size) support->dimensions * 2;
		default:
			return ((Size) support->dimensions + 7) / 8;
	}
}

/* The size of a datum: all three types have four bytes between the header and the numbers. */
Size
IvfflatDatumSize(const IvfflatSupport *support)
{
	return VARHDRSZ + 4 + IvfflatNumbersSize(support);
}

void
IvfflatMakeDatum(const IvfflatSupport *support, const char *numbers, struct varlena *datum)
{
	SET_VARSIZE(datum, IvfflatDatumSize(support));
	if (support->type->elements == IVFFLAT_BITS)
		VARBITLEN(datum) = support->dimensions;
	else
	{
		((DenseDatum *) datum)->dimensions = support->dimensions;
		((DenseDatum *) datum)->unused = 0;
	}
	memcpy((char *) datum + VARHDRSZ + 4, numbers, IvfflatNumbersSize(support));
}

/*
 * The numbers of a datum that is neither compressed nor stored elsewhere, or null if it is not a value of the index. With
 * a short header they need not be aligned.
 */
const char *
IvfflatDatumNumbers(const IvfflatSupport *support, const struct varlena *datum, Size room)
{
	Size		header = VARATT_IS_SHORT(datum) ? VARHDRSZ_SHORT : VARHDRSZ;
	const char *content = (const char *) datum + header;
	Size		size;
	int			dimensions;

	if (room < header || VARATT_IS_EXTERNAL(datum) || VARATT_IS_COMPRESSED(datum))
		return NULL;
	size = VARSIZE_ANY(datum);
	if (size > room || size != header + 4 + IvfflatNumbersSize(support))
		return NULL;
	if (support->type->elements == IVFFLAT_BITS)
	{
		int32		length;

		memcpy(&length, content, sizeof(length));
		dimensions = length;
	}
	else
	{
		uint16		length;

		memcpy(&length, content, sizeof(length));
		dimensions = length;
	}
	return dimensions == support->dimensions ? content + 4 : NULL;
}

/*
 * Makes of a value what is stored for it, detoasted and perhaps normalized, in the current memory context. False if
 * nothing is to be stored: a vector of zeros has no direction.
 */
bool
IvfflatStoredValue(const IvfflatSupport *support, Datum *value)
{
	*value = PointerGetDatum(Detoasted(*value));
	if (support->norm == NULL)
		return true;
	if (!(DatumGetFloat8(FunctionCall1Coll(support->norm, support->collation, *value)) > 0))
		return false;
	if (support->type->normalize != NULL)
		*value = DirectFunctionCall1Coll(support->type->normalize, support->collation, *value);
	return true;
}

/*
 * A query of a detoasted value. If it does not have the dimensions of the index, the function that measures the distance
 * from a centre says so, in its own words.
 */
IvfflatQuery
IvfflatMakeQuery(const IvfflatSupport *support, Datum value)
{
	struct varlena *datum = (struct varlena *) DatumGetPointer(value);
	IvfflatQuery query = {.datum = value};

	query.numbers = IvfflatDatumNumbers(support, datum, VARSIZE_ANY(datum));
	if (query.numbers == NULL)
	{
		struct varlena *center = palloc0(IvfflatDatumSize(support));

		IvfflatMakeDatum(support, palloc0(IvfflatNumbersSize(support)), center);
		FunctionCall2Coll(support->distance, support->collation, PointerGetDatum(center), value);
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("value does not have the dimensions of the index")));
	}
	return query;
}

/*
 * Distances of values from a query. `data` are the values as the distance function takes them, `numbers` are their
 * numbers, aligned.
 */
void
IvfflatDistances(const IvfflatSupport *support, const IvfflatQuery *query, const Datum *data,
				 const char *const *numbers, int count, double *out)
{
	if (query->numbers == NULL)
	{
		for (int i = 0; i < count; i++)
			out[i] = 0;
	}
	else if (support->measure != IVFFLAT_OTHER)
		ruvector_ivfflat_distances(support->measure, support->type->elements, support->dimensions, query->numbers,
								   numbers, count, out);
	else
	{
		for (int i = 0; i < count; i++)
			out[i] = DatumGetFloat8(FunctionCall2Coll(support->distance, support->collation, data[i], query->datum));
	}
}

static bool
IsSignatureValid(Form_pg_amproc function, Oid type)
{
	switch (function->amprocnum)
	{
		case IVFFLAT_DISTANCE_PROC:
		case IVFFLAT_CLUSTER_DISTANCE_PROC:
			return check_amproc_signature(function->amproc, FLOAT8OID, false, 2, 2, type, type);
		case IVFFLAT_NORM_PROC:
		case IVFFLAT_CLUSTER_NORM_PROC:
			return check_amproc_signature(function->amproc, FLOAT8OID, false, 1, 1, type);
		case IVFFLAT_TYPE_PROC:
			return check_amproc_signature(function->amproc, INTERNALOID, false, 1, 1, INTERNALOID);
		default:
			return false;
	}
}

/*
 * Is an operator class as it has to be? Says what is wrong with it.
 */
bool
ivfflat_validate(Oid opclass)
{
	HeapTuple	row = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	Form_pg_opclass class;
	CatCList   *list;
	bool		valid = true;
	uint32		found = 0;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	class = (Form_pg_opclass) GETSTRUCT(row);

	list = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(class->opcfamily));
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amproc function = (Form_pg_amproc) GETSTRUCT(&list->members[i]->tuple);

		if (!IsSignatureValid(function, function->amproclefttype))
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator class \"%s\" of access method %s has an unsuitable support function %s with number %d",
							NameStr(class->opcname), "ivfflat", format_procedure(function->amproc),
							function->amprocnum)));
			valid = false;
		}
		else if (function->amproclefttype == class->opcintype)
			found |= 1U << function->amprocnum;
	}
	ReleaseCatCacheList(list);

	for (int number = 1; number <= IVFFLAT_PROCS; number++)
	{
		if ((number == IVFFLAT_DISTANCE_PROC || number == IVFFLAT_CLUSTER_DISTANCE_PROC) && (found & 1U << number) == 0)
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator class \"%s\" of access method %s is missing support function %d",
							NameStr(class->opcname), "ivfflat", number)));
			valid = false;
		}
	}

	list = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(class->opcfamily));
	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_amop operator = (Form_pg_amop) GETSTRUCT(&list->members[i]->tuple);

		if (operator->amoppurpose != AMOP_ORDER || operator->amopstrategy != 1)
		{
			ereport(INFO,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("operator class \"%s\" of access method %s contains operator %s that it cannot use",
							NameStr(class->opcname), "ivfflat", format_operator(operator->amopopr))));
			valid = false;
		}
	}
	ReleaseCatCacheList(list);
	ReleaseSysCache(row);
	return valid;
}
