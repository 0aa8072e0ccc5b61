/*
 * Compressed forms of vectors, as bytes.
 */
#include "ruvector.h"

#include "utils/builtins.h"
#include "varatt.h"

extern bool ruvector_quantize_vector(const View *view, const char *method, size_t length, Bytes *out,
									 Failure *failure);
extern bool ruvector_dequantize_vector(const char *data, size_t length, Bytes *out, Failure *failure);

static Datum
Quantize(FunctionCallInfo fcinfo)
{
	View		view = ArgumentView(fcinfo, 0, KIND_VECTOR);
	text	   *method = PG_GETARG_TEXT_PP(1);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_quantize_vector(&view, VARDATA_ANY(method), VARSIZE_ANY_EXHDR(method), &bytes, &failure));
	return ResultDatum(bytes);
}

static Datum
Dequantize(FunctionCallInfo fcinfo)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	Failure		failure;
	Bytes		bytes;

	CHECK(ruvector_dequantize_vector(VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data), &bytes, &failure));
	return ResultDatum(bytes);
}

SQL(ruvector_quantize, Quantize(fcinfo))
SQL(ruvector_dequantize, Dequantize(fcinfo))
