/*
 * The C part of the extension: everything that knows PostgreSQL. What vectors are is in Rust, behind the functions
 * that are declared here; none of them leaves by longjmp or is left so.
 */
#ifndef RUVECTOR_H
#define RUVECTOR_H

#include "postgres.h"

#include "fmgr.h"

/* Types, as Rust numbers them. */
typedef enum Kind
{
	KIND_VECTOR = 0,
	KIND_HALFVEC = 1,
	KIND_SPARSEVEC = 2
} Kind;

/* Distances, likewise. */
typedef enum Distance
{
	DISTANCE_L2 = 0,
	DISTANCE_L2_SQUARED = 1,
	DISTANCE_INNER_PRODUCT = 2,
	DISTANCE_NEGATIVE_INNER_PRODUCT = 3,
	DISTANCE_COSINE = 4,
	DISTANCE_L1 = 5,
	DISTANCE_SPHERICAL = 6
} Distance;

/* A value whose parts lie in a datum. */
typedef struct View
{
	uint32		kind;
	uint32		dimensions;
	uint32		elements;
	const uint32 *indices;
	const void *values;
} View;

/* Memory that Rust has allocated with palloc. */
typedef struct Bytes
{
	void	   *data;
	size_t		length;
} Bytes;

/* An error. */
typedef struct Failure
{
	char		sqlstate[6];
	char	   *message;
	char	   *detail;
} Failure;

/* The layouts of data, which are pgvector's. */
typedef struct DenseDatum
{
	int32		length;
	uint16		dimensions;
	uint16		unused;
	char		values[FLEXIBLE_ARRAY_MEMBER];
} DenseDatum;

typedef struct SparseDatum
{
	int32		length;
	uint32		dimensions;
	uint32		elements;
	uint32		unused;
	uint32		indices[FLEXIBLE_ARRAY_MEMBER];
} SparseDatum;

extern bool ruvector_parse(uint32 kind, const char *text, size_t length, int32 typmod, Bytes *out, Failure *failure);
extern bool ruvector_format(const View *view, Bytes *out, Failure *failure);
extern bool ruvector_receive(uint32 kind, const char *data, size_t length, int32 typmod, Bytes *out, Failure *failure);
extern bool ruvector_send(const View *view, Bytes *out, Failure *failure);
extern bool ruvector_typmod(uint32 kind, const int32 *numbers, size_t count, int32 *out, Failure *failure);
extern bool ruvector_check_typmod(uint32 kind, uint32 dimensions, int32 typmod, Failure *failure);
extern bool ruvector_from_numbers(uint32 kind, const float *numbers, size_t count, int32 typmod, Bytes *out,
								  Failure *failure);
extern bool ruvector_convert(const View *view, uint32 kind, int32 typmod, Bytes *out, Failure *failure);
extern void ruvector_to_numbers(const View *view, float *out);
extern bool ruvector_distance(uint32 which, const View *a, const View *b, double *out, Failure *failure);
extern double ruvector_vector_l2(const float *a, const float *b, size_t dimensions);
extern double ruvector_vector_l2_squared(const float *a, const float *b, size_t dimensions);
extern double ruvector_vector_inner_product(const float *a, const float *b, size_t dimensions);
extern double ruvector_vector_negative_inner_product(const float *a, const float *b, size_t dimensions);
extern double ruvector_vector_cosine(const float *a, const float *b, size_t dimensions);
extern double ruvector_vector_l1(const float *a, const float *b, size_t dimensions);
extern double ruvector_norm(const View *view);
extern bool ruvector_arithmetic(uint32 which, const View *a, const View *b, Bytes *out, Failure *failure);
extern bool ruvector_subvector(const View *view, int32 start, int32 count, Bytes *out, Failure *failure);
extern bool ruvector_normalize(const View *view, Bytes *out, Failure *failure);
extern int32 ruvector_compare(const View *a, const View *b);
extern bool ruvector_binary_quantize(const View *view, Bytes *out, Failure *failure);
extern bool ruvector_bit_distance(uint32 which, uint32 a_bits, const void *a, uint32 b_bits, const void *b, double *out,
								  Failure *failure);
extern bool ruvector_accumulate(double *sums, size_t count, const View *view, Failure *failure);
extern bool ruvector_combine(double *sums, size_t count, const double *other, size_t other_count, Failure *failure);
extern bool ruvector_average(uint32 kind, double count, const double *sums, size_t dimensions, Bytes *out,
							 Failure *failure);

/* toast.c */
extern struct varlena *Detoasted(Datum datum);

/* values.c */
extern View DatumView(Datum value, Kind kind);
extern View ArgumentView(FunctionCallInfo fcinfo, int argument, Kind kind);
extern void RaiseFailure(const Failure *failure) pg_attribute_noreturn();
extern Datum ResultDatum(Bytes bytes);

/* Raises what a function has failed with. */
#define CHECK(call) \
	do { \
		if (unlikely(!(call))) \
			RaiseFailure(&failure); \
	} while (0)

/* A function for SQL. */
#define SQL(name, body) \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS) { return body; }

#endif
