/*
 * Functions of the types: each SQL function is one of these, named for its type.
 */
#include "ruvector.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varbit.h"
#include "varatt.h"

static Datum
In(FunctionCallInfo fcinfo, Kind kind)
{
	const char *text = PG_GETARG_CSTRING(0);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_parse(kind, text, strlen(text), PG_GETARG_INT32(2), &bytes, &failure));
	return ResultDatum(bytes);
}

static Datum
Out(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_format(&view, &bytes, &failure));
	return CStringGetDatum(bytes.data);
}

static Datum
TypmodIn(FunctionCallInfo fcinfo, Kind kind)
{
	int			count;
	int32	   *numbers = ArrayGetIntegerTypmods(PG_GETARG_ARRAYTYPE_P(0), &count);
	Failure		failure;
	int32		typmod;

	CHECK(ruvector_typmod(kind, numbers, count, &typmod, &failure));
	PG_RETURN_INT32(typmod);
}

/*
 * How long the value at the start of a message is, by what it says itself; no longer than the message.
 */
static uint64
ValueLength(Kind kind, const char *message, uint64 length)
{
	uint16		dimensions;
	uint32		elements;

	if (length < (kind == KIND_SPARSEVEC ? 12 : 4))
		return length;
	if (kind == KIND_SPARSEVEC)
	{
		memcpy(&elements, message + 4, sizeof(elements));
		return Min(length, 12 + (uint64) pg_ntoh32(elements) * 8);
	}
	memcpy(&dimensions, message, sizeof(dimensions));
	return Min(length, 4 + (uint64) pg_ntoh16(dimensions) * (kind == KIND_VECTOR ? sizeof(float) : sizeof(uint16)));
}

static Datum
Receive(FunctionCallInfo fcinfo, Kind kind)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	const char *data = message->data + message->cursor;
	uint64		length = ValueLength(kind, data, message->len - message->cursor);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_receive(kind, data, length, PG_GETARG_INT32(2), &bytes, &failure));
	/* PostgreSQL complains if there is more, and says where the message is from, which is not known here. */
	message->cursor += length;
	return ResultDatum(bytes);
}

static Datum
Send(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	Failure		failure;
	Bytes		bytes;
	StringInfoData message;

	CHECK(ruvector_send(&view, &bytes, &failure));
	pq_begintypsend(&message);
	pq_sendbytes(&message, bytes.data, bytes.length);
	pfree(bytes.data);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* The cast to a type modifier. */
static Datum
Coerce(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	Failure		failure;

	CHECK(ruvector_check_typmod(kind, view.dimensions, PG_GETARG_INT32(1), &failure));
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

static Datum
Measure(FunctionCallInfo fcinfo, Kind kind, Distance which)
{
	View		a = ArgumentView(fcinfo, 0, kind);
	View		b = ArgumentView(fcinfo, 1, kind);
	Failure		failure;
	double		distance;

	CHECK(ruvector_distance(which, &a, &b, &distance, &failure));
	PG_RETURN_FLOAT8(distance);
}

/* A vector whose numbers can be used where they are; null if its length is not what its dimensions need. */
static inline const DenseDatum *
PlainVector(Datum datum)
{
	const DenseDatum *vector = (const DenseDatum *) DatumGetPointer(datum);

	/* Short vectors have a short header, and long ones are elsewhere. */
	if (!VARATT_IS_4B_U(vector))
		vector = (const DenseDatum *) Detoasted(datum);
	if (VARSIZE(vector) < offsetof(DenseDatum, values) ||
		VARSIZE(vector) < offsetof(DenseDatum, values) + (Size) vector->dimensions * sizeof(float))
		return NULL;
	return vector;
}

/*
 * The distance of two vectors, the shortest way. Whatever is not as it should be is left to Measure, which raises the error.
 */
#define VECTOR_DISTANCE(name, which, distance) \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS) \
	{ \
		const DenseDatum *a = PlainVector(PG_GETARG_DATUM(0)); \
		const DenseDatum *b = PlainVector(PG_GETARG_DATUM(1)); \
		if (unlikely(a == NULL || b == NULL || a->dimensions != b->dimensions)) \
			return Measure(fcinfo, KIND_VECTOR, which); \
		PG_RETURN_FLOAT8(distance((const float *) a->values, (const float *) b->values, a->dimensions)); \
	}

static Datum
Dimensions(FunctionCallInfo fcinfo, Kind kind)
{
	PG_RETURN_INT32(ArgumentView(fcinfo, 0, kind).dimensions);
}

static Datum
Norm(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);

	PG_RETURN_FLOAT8(ruvector_norm(&view));
}

static Datum
Normalize(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_normalize(&view, &bytes, &failure));
	return ResultDatum(bytes);
}

/* 0 sum, 1 difference, 2 product, 3 concatenation. */
static Datum
Arithmetic(FunctionCallInfo fcinfo, Kind kind, uint32 which)
{
	View		a = ArgumentView(fcinfo, 0, kind);
	View		b = ArgumentView(fcinfo, 1, kind);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_arithmetic(which, &a, &b, &bytes, &failure));
	return ResultDatum(bytes);
}

static Datum
Subvector(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_subvector(&view, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &bytes, &failure));
	return ResultDatum(bytes);
}

static Datum
BinaryQuantize(FunctionCallInfo fcinfo, Kind kind)
{
	View		view = ArgumentView(fcinfo, 0, kind);
	int			size = VARBITTOTALLEN(view.dimensions);
	VarBit	   *result;
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_binary_quantize(&view, &bytes, &failure));
	result = palloc0(size);
	SET_VARSIZE(result, size);
	VARBITLEN(result) = view.dimensions;
	if (bytes.length > 0)
		memcpy(VARBITS(result), bytes.data, bytes.length);
	PG_RETURN_VARBIT_P(result);
}

static int32
Compare(FunctionCallInfo fcinfo, Kind kind)
{
	View		a = ArgumentView(fcinfo, 0, kind);
	View		b = ArgumentView(fcinfo, 1, kind);

	return ruvector_compare(&a, &b);
}

/* What all three types have. */
#define TYPE(prefix, kind) \
	SQL(prefix##_in, In(fcinfo, kind)) \
	SQL(prefix##_out, Out(fcinfo, kind)) \
	SQL(prefix##_typmod_in, TypmodIn(fcinfo, kind)) \
	SQL(prefix##_recv, Receive(fcinfo, kind)) \
	SQL(prefix##_send, Send(fcinfo, kind)) \
	SQL(prefix, Coerce(fcinfo, kind)) \
	SQL(prefix##_lt, BoolGetDatum(Compare(fcinfo, kind) < 0)) \
	SQL(prefix##_le, BoolGetDatum(Compare(fcinfo, kind) <= 0)) \
	SQL(prefix##_eq, BoolGetDatum(Compare(fcinfo, kind) == 0)) \
	SQL(prefix##_ne, BoolGetDatum(Compare(fcinfo, kind) != 0)) \
	SQL(prefix##_ge, BoolGetDatum(Compare(fcinfo, kind) >= 0)) \
	SQL(prefix##_gt, BoolGetDatum(Compare(fcinfo, kind) > 0)) \
	SQL(prefix##_cmp, Int32GetDatum(Compare(fcinfo, kind)))

/* What the dense ones have beyond that. */
#define DENSE(prefix, kind) \
	SQL(prefix##_add, Arithmetic(fcinfo, kind, 0)) \
	SQL(prefix##_sub, Arithmetic(fcinfo, kind, 1)) \
	SQL(prefix##_mul, Arithmetic(fcinfo, kind, 2)) \
	SQL(prefix##_concat, Arithmetic(fcinfo, kind, 3)) \
	SQL(prefix##_spherical_distance, Measure(fcinfo, kind, DISTANCE_SPHERICAL))

TYPE(vector, KIND_VECTOR)
TYPE(halfvec, KIND_HALFVEC)
TYPE(sparsevec, KIND_SPARSEVEC)
DENSE(vector, KIND_VECTOR)
DENSE(halfvec, KIND_HALFVEC)

VECTOR_DISTANCE(l2_distance, DISTANCE_L2, ruvector_vector_l2)
VECTOR_DISTANCE(vector_l2_squared_distance, DISTANCE_L2_SQUARED, ruvector_vector_l2_squared)
VECTOR_DISTANCE(inner_product, DISTANCE_INNER_PRODUCT, ruvector_vector_inner_product)
VECTOR_DISTANCE(vector_negative_inner_product, DISTANCE_NEGATIVE_INNER_PRODUCT, ruvector_vector_negative_inner_product)
VECTOR_DISTANCE(cosine_distance, DISTANCE_COSINE, ruvector_vector_cosine)
VECTOR_DISTANCE(l1_distance, DISTANCE_L1, ruvector_vector_l1)

SQL(halfvec_l2_squared_distance, Measure(fcinfo, KIND_HALFVEC, DISTANCE_L2_SQUARED))
SQL(halfvec_negative_inner_product, Measure(fcinfo, KIND_HALFVEC, DISTANCE_NEGATIVE_INNER_PRODUCT))
SQL(sparsevec_l2_squared_distance, Measure(fcinfo, KIND_SPARSEVEC, DISTANCE_L2_SQUARED))
SQL(sparsevec_negative_inner_product, Measure(fcinfo, KIND_SPARSEVEC, DISTANCE_NEGATIVE_INNER_PRODUCT))

/* Names of pgvector that do not follow a rule. */
SQL(vector_dims, Dimensions(fcinfo, KIND_VECTOR))
SQL(vector_norm, Norm(fcinfo, KIND_VECTOR))
SQL(l2_normalize, Normalize(fcinfo, KIND_VECTOR))
SQL(binary_quantize, BinaryQuantize(fcinfo, KIND_VECTOR))
SQL(subvector, Subvector(fcinfo, KIND_VECTOR))

SQL(halfvec_l2_distance, Measure(fcinfo, KIND_HALFVEC, DISTANCE_L2))
SQL(halfvec_inner_product, Measure(fcinfo, KIND_HALFVEC, DISTANCE_INNER_PRODUCT))
SQL(halfvec_cosine_distance, Measure(fcinfo, KIND_HALFVEC, DISTANCE_COSINE))
SQL(halfvec_l1_distance, Measure(fcinfo, KIND_HALFVEC, DISTANCE_L1))
SQL(halfvec_vector_dims, Dimensions(fcinfo, KIND_HALFVEC))
SQL(halfvec_l2_norm, Norm(fcinfo, KIND_HALFVEC))
SQL(halfvec_l2_normalize, Normalize(fcinfo, KIND_HALFVEC))
SQL(halfvec_binary_quantize, BinaryQuantize(fcinfo, KIND_HALFVEC))
SQL(halfvec_subvector, Subvector(fcinfo, KIND_HALFVEC))

SQL(sparsevec_l2_distance, Measure(fcinfo, KIND_SPARSEVEC, DISTANCE_L2))
SQL(sparsevec_inner_product, Measure(fcinfo, KIND_SPARSEVEC, DISTANCE_INNER_PRODUCT))
SQL(sparsevec_cosine_distance, Measure(fcinfo, KIND_SPARSEVEC, DISTANCE_COSINE))
SQL(sparsevec_l1_distance, Measure(fcinfo, KIND_SPARSEVEC, DISTANCE_L1))
SQL(sparsevec_l2_norm, Norm(fcinfo, KIND_SPARSEVEC))
SQL(sparsevec_l2_normalize, Normalize(fcinfo, KIND_SPARSEVEC))

/* 0 Hamming, 1 Jaccard. */
static Datum
BitDistance(FunctionCallInfo fcinfo, uint32 which)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);
	Failure		failure;
	double		distance;

	CHECK(ruvector_bit_distance(which, VARBITLEN(a), VARBITS(a), VARBITLEN(b), VARBITS(b), &distance, &failure));
	PG_RETURN_FLOAT8(distance);
}

SQL(hamming_distance, BitDistance(fcinfo, 0))
SQL(jaccard_distance, BitDistance(fcinfo, 1))
