/*
 * Memory, errors, and values on their way between PostgreSQL and Rust.
 */
#include "ruvector.h"

#include "utils/memutils.h"
#include "varatt.h"

extern void *ruvector_allocate(size_t size);
extern void *ruvector_reallocate(void *memory, size_t size);
extern void ruvector_free(void *memory);

/*
 * What is larger would be an error, and an error here would leave Rust by longjmp. Graphs that are being built are large.
 */
void *
ruvector_allocate(size_t size)
{
	if (size > MaxAllocHugeSize)
		return NULL;
	return palloc_extended(size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

void *
ruvector_reallocate(void *memory, size_t size)
{
	if (size > MaxAllocHugeSize)
		return NULL;
	return repalloc_extended(memory, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

void
ruvector_free(void *memory)
{
	pfree(memory);
}

/*
 * Rust's messages are in UTF-8, and pgvector's to the letter.
 */
void
RaiseFailure(const Failure *failure)
{
	const char *s = failure->sqlstate;

	if (failure->message == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])),
			 errmsg_internal("%s", failure->message),
			 failure->detail ? errdetail_internal("%s", failure->detail) : 0));
}

/*
 * The parts of a value, which stay where they are. Corrupt data must not make Rust read beyond them.
 */
View
DatumView(Datum value, Kind kind)
{
	struct varlena *datum = Detoasted(value);
	Size		size = VARSIZE(datum);
	View		view = {.kind = kind};
	Size		needed;

	if (kind == KIND_SPARSEVEC)
	{
		SparseDatum *sparse = (SparseDatum *) datum;

		needed = offsetof(SparseDatum, indices);
		if (size >= needed)
		{
			view.dimensions = sparse->dimensions;
			view.elements = sparse->elements;
			view.indices = sparse->indices;
			view.values = sparse->indices + Min(sparse->elements, size / sizeof(uint32));
			needed += Min((uint64) sparse->elements * 8, MaxAllocSize);
		}
	}
	else
	{
		DenseDatum *dense = (DenseDatum *) datum;

		needed = offsetof(DenseDatum, values);
		if (size >= needed)
		{
			view.dimensions = dense->dimensions;
			view.elements = dense->dimensions;
			view.values = dense->values;
			needed += (Size) dense->dimensions * (kind == KIND_VECTOR ? 4 : 2);
		}
	}
	if (size < needed)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a stored vector is shorter than its dimensions need")));
	return view;
}

View
ArgumentView(FunctionCallInfo fcinfo, int argument, Kind kind)
{
	return DatumView(PG_GETARG_DATUM(argument), kind);
}

/*
 * A datum that Rust has made, but for its length.
 */
Datum
ResultDatum(Bytes bytes)
{
	SET_VARSIZE(bytes.data, bytes.length);
	return PointerGetDatum(bytes.data);
}
