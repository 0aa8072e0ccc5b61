/*
 * Averages. Their state is an array of double precision: how many vectors, then the sums of their elements.
 */
#include "ruvector.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

/* The numbers of a state; the first is the count. */
static double *
StateNumbers(ArrayType *state, const char *caller, int *dimensions)
{
	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] < 1 || ARR_HASNULL(state) || ARR_ELEMTYPE(state) != FLOAT8OID)
		elog(ERROR, "%s: expected state array", caller);
	*dimensions = ARR_DIMS(state)[0] - 1;
	return (double *) ARR_DATA_PTR(state);
}

/* A state of zeros. */
static ArrayType *
NewState(int dimensions)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(double) * ((Size) dimensions + 1);
	ArrayType  *state = palloc0(size);

	SET_VARSIZE(state, size);
	state->ndim = 1;
	state->elemtype = FLOAT8OID;
	ARR_DIMS(state)[0] = dimensions + 1;
	ARR_LBOUND(state)[0] = 1;
	return state;
}

static Datum
Accumulate(FunctionCallInfo fcinfo, Kind kind, const char *caller)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(0);
	View		view = ArgumentView(fcinfo, 1, kind);
	int			dimensions;
	double	   *numbers = StateNumbers(state, caller, &dimensions);
	ArrayType  *result = NewState(dimensions == 0 ? (int) view.dimensions : dimensions);
	double	   *sums = (double *) ARR_DATA_PTR(result);
	Failure		failure;

	memcpy(sums, numbers, sizeof(double) * ((Size) dimensions + 1));
	/* Sums of nothing are negative zeros, to which zeros can be added without losing their sign. */
	for (int i = dimensions + 1; i < ARR_DIMS(result)[0]; i++)
		sums[i] = -0.0;
	CHECK(ruvector_accumulate(sums + 1, ARR_DIMS(result)[0] - 1, &view, &failure));
	sums[0] += 1.0;
	PG_RETURN_ARRAYTYPE_P(result);
}

static Datum
Combine(FunctionCallInfo fcinfo)
{
	ArrayType  *left = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *right = PG_GETARG_ARRAYTYPE_P(1);
	int			left_dimensions;
	int			right_dimensions;
	double	   *left_numbers = StateNumbers(left, "vector_combine", &left_dimensions);
	double	   *right_numbers = StateNumbers(right, "vector_combine", &right_dimensions);
	ArrayType  *result;
	double	   *sums;
	Failure		failure;

	if (left_numbers[0] == 0.0)
		PG_RETURN_ARRAYTYPE_P(right);
	if (right_numbers[0] == 0.0)
		PG_RETURN_ARRAYTYPE_P(left);
	result = NewState(left_dimensions);
	sums = (double *) ARR_DATA_PTR(result);
	memcpy(sums, left_numbers, sizeof(double) * ((Size) left_dimensions + 1));
	CHECK(ruvector_combine(sums + 1, left_dimensions, right_numbers + 1, right_dimensions, &failure));
	sums[0] += right_numbers[0];
	PG_RETURN_ARRAYTYPE_P(result);
}

static Datum
Average(FunctionCallInfo fcinfo, Kind kind, const char *caller)
{
	int			dimensions;
	double	   *numbers = StateNumbers(PG_GETARG_ARRAYTYPE_P(0), caller, &dimensions);
	Failure		failure;
	Bytes		bytes;

	/* In SQL the average of nothing is null. */
	if (numbers[0] == 0.0)
		PG_RETURN_NULL();
	CHECK(ruvector_average(kind, numbers[0], numbers + 1, dimensions, &bytes, &failure));
	return ResultDatum(bytes);
}

SQL(vector_accum, Accumulate(fcinfo, KIND_VECTOR, "vector_accum"))
SQL(vector_avg, Average(fcinfo, KIND_VECTOR, "vector_avg"))
SQL(vector_combine, Combine(fcinfo))
SQL(halfvec_accum, Accumulate(fcinfo, KIND_HALFVEC, "halfvec_accum"))
SQL(halfvec_avg, Average(fcinfo, KIND_HALFVEC, "halfvec_avg"))
