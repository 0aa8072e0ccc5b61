-- What the extension `ruvector` adds to `vector`.

-- Recall and quantisation

CREATE FUNCTION ruvector_evaluate_recall(
    index regclass, k integer DEFAULT 10, samples integer DEFAULT 100, ef integer DEFAULT NULL, seed integer DEFAULT 1
)
    RETURNS TABLE(
        recall double precision, avg_ms double precision, p50_ms double precision, p99_ms double precision,
        exact_avg_ms double precision, samples integer
    )
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION ruvector_quantize(v vector, method text) RETURNS bytea
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION ruvector_dequantize(b bytea) RETURNS vector
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
