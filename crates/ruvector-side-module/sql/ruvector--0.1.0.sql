\echo Use "CREATE EXTENSION ruvector" to load this file. \quit

-- What is wrong with an hnsw index; no rows if nothing is. It is for the owner, and keeps rows from being added meanwhile.
CREATE FUNCTION ruvector_index_check(index regclass) RETURNS SETOF text
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

CREATE FUNCTION ruvector_index_stats(
    index regclass,
    OUT dims integer,
    OUT metric text,
    OUT quantizer text,
    OUT elements bigint,
    OUT deleted bigint,
    OUT unreachable bigint,
    OUT max_level integer,
    OUT avg_degree double precision,
    OUT pages bigint,
    OUT bytes bigint,
    OUT m integer,
    OUT ef_construction integer
) RETURNS record
    AS 'MODULE_PATHNAME' LANGUAGE C STRICT;

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
