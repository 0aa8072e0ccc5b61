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
