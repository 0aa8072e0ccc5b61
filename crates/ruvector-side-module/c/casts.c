/*
 * Casts between the types, and from and to arrays.
 */
#include "ruvector.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/*
 * The numbers of an array in single precision, as casts of SQL give them. What does not have the right dimensions is not
 * looked at further: its numbers may be wrong too.
 */
static float *
ArrayNumbers(ArrayType *array, Kind kind, int32 typmod, int *count)
{
	Oid			type = ARR_ELEMTYPE(array);
	int16		length;
	bool		by_value;
	char		alignment;
	Datum	   *elements;
	float	   *numbers;
	Failure		failure;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));
	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	deconstruct_array(array, type, length, by_value, alignment, &elements, NULL, count);
	CHECK(ruvector_check_typmod(kind, *count, typmod, &failure));
	if (type != INT4OID && type != FLOAT8OID && type != FLOAT4OID && type != NUMERICOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("unsupported array type")));

	numbers = palloc(*count * sizeof(float));
	for (int i = 0; i < *count; i++)
	{
		switch (type)
		{
			case INT4OID:
				numbers[i] = (float) DatumGetInt32(elements[i]);
				break;
			case FLOAT8OID:
				/* Not dtof, which would raise an error of its own: the type says that it has no infinities. */
				numbers[i] = (float) DatumGetFloat8(elements[i]);
				break;
			case FLOAT4OID:
				numbers[i] = DatumGetFloat4(elements[i]);
				break;
			default:
				numbers[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
		}
	}
	pfree(elements);
	return numbers;
}

static Datum
FromArray(FunctionCallInfo fcinfo, Kind kind)
{
	int			count;
	float	   *numbers = ArrayNumbers(PG_GETARG_ARRAYTYPE_P(0), kind, PG_GETARG_INT32(1), &count);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_from_numbers(kind, numbers, count, PG_GETARG_INT32(1), &bytes, &failure));
	pfree(numbers);
	return ResultDatum(bytes);
}

static Datum
ToArray(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	float	   *numbers = palloc(Max(view.dimensions, 1) * sizeof(float));
	Datum	   *elements = palloc(Max(view.dimensions, 1) * sizeof(Datum));

	ruvector_to_numbers(&view, numbers);
	for (uint32 i = 0; i < view.dimensions; i++)
		elements[i] = Float4GetDatum(numbers[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array_builtin(elements, view.dimensions, FLOAT4OID));
}

static Datum
Convert(FunctionCallInfo fcinfo, Kind from, Kind to)
{
	View		view = ArgumentView(fcinfo, 0, from);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_convert(&view, to, PG_GETARG_INT32(1), &bytes, &failure));
	return ResultDatum(bytes);
}

SQL(array_to_vector, FromArray(fcinfo, KIND_VECTOR))
SQL(array_to_halfvec, FromArray(fcinfo, KIND_HALFVEC))
SQL(array_to_sparsevec, FromArray(fcinfo, KIND_SPARSEVEC))
SQL(vector_to_float4, ToArray(fcinfo, KIND_VECTOR))
SQL(halfvec_to_float4, ToArray(fcinfo, KIND_HALFVEC))
SQL(vector_to_halfvec, Convert(fcinfo, KIND_VECTOR, KIND_HALFVEC))
SQL(vector_to_sparsevec, Convert(fcinfo, KIND_VECTOR, KIND_SPARSEVEC))
SQL(halfvec_to_vector, Convert(fcinfo, KIND_HALFVEC, KIND_VECTOR))
SQL(halfvec_to_sparsevec, Convert(fcinfo, KIND_HALFVEC, KIND_SPARSEVEC))
SQL(sparsevec_to_vector, Convert(fcinfo, KIND_SPARSEVEC, KIND_VECTOR))
SQL(sparsevec_to_halfvec, Convert(fcinfo, KIND_SPARSEVEC, KIND_HALFVEC))
