\echo Use "CREATE EXTENSION ruvector" to load this file. \quit

-- ruhnsw: hnsw with codes of vectors

CREATE FUNCTION ruhnswhandler(internal) RETURNS index_am_handler
    AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE ACCESS METHOD ruhnsw TYPE INDEX HANDLER ruhnswhandler;
COMMENT ON ACCESS METHOD ruhnsw IS 'index access method for quantised vectors';

CREATE OPERATOR CLASS vector_l2_ops DEFAULT
    FOR TYPE vector USING ruhnsw AS
    OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_l2_squared_distance(vector, vector);

CREATE OPERATOR CLASS vector_ip_ops
    FOR TYPE vector USING ruhnsw AS
    OPERATOR 1 <#> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_negative_inner_product(vector, vector);

CREATE OPERATOR CLASS vector_cosine_ops
    FOR TYPE vector USING ruhnsw AS
    OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 vector_negative_inner_product(vector, vector),
    FUNCTION 2 vector_norm(vector);

CREATE OPERATOR CLASS vector_l1_ops
    FOR TYPE vector USING ruhnsw AS
    OPERATOR 1 <+> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 l1_distance(vector, vector);

CREATE OPERATOR CLASS halfvec_l2_ops
    FOR TYPE halfvec USING ruhnsw AS
    OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 halfvec_l2_squared_distance(halfvec, halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_ip_ops
    FOR TYPE halfvec USING ruhnsw AS
    OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_cosine_ops
    FOR TYPE halfvec USING ruhnsw AS
    OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 halfvec_negative_inner_product(halfvec, halfvec),
    FUNCTION 2 l2_norm(halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

CREATE OPERATOR CLASS halfvec_l1_ops
    FOR TYPE halfvec USING ruhnsw AS
    OPERATOR 1 <+> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 l1_distance(halfvec, halfvec),
    FUNCTION 3 hnsw_halfvec_support(internal);

-- What is wrong with an hnsw or ruhnsw index; no rows if nothing is. It is for the owner, and keeps rows from being added meanwhile.
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
