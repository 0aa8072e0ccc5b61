-- Where programs may notice a difference from pgvector 0.8.

-- dimensions are checked before numbers are converted
SELECT '{1e39}'::numeric[]::vector(2);
SELECT '{1e39}'::numeric[]::halfvec(2);
SELECT '{1e39}'::numeric[]::sparsevec(2);
SELECT '{1e39}'::numeric[]::vector(1);
SELECT '{}'::numeric[]::vector(1);
SELECT array_fill('1e39'::numeric, ARRAY[16001])::vector(1);
SELECT array_to_vector(ARRAY[1, 2], 3, false);

-- zeros keep their sign
SELECT avg(v), avg(v::halfvec) FROM unnest(ARRAY['[-0,0,-0]', '[-0,-0,0]']::vector[]) v;
SELECT avg(v), avg(v::halfvec) FROM unnest(ARRAY['[-0,0,1]']::vector[]) v;
SELECT vector_accum('{0}', '[-0,0]'), halfvec_accum('{0}', '[-0,0]');

-- sums over half precision numbers are those over the same numbers in single precision, to the last bit: all numbers there are
CREATE TABLE pieces AS SELECT array_agg(number ORDER BY bits)::halfvec AS a, array_agg(number ORDER BY bits DESC)::halfvec AS b FROM (
    SELECT bits, (CASE WHEN bits < 1024 THEN bits * 2::float8 ^ -24 ELSE (1024 + bits % 1024) * 2::float8 ^ (bits / 1024 - 25) END
        * CASE WHEN bits % 3 = 0 THEN -1 ELSE 1 END)::real AS number FROM generate_series(0, 31743) bits) n GROUP BY bits / 61;
SELECT count(*), sum(vector_dims(a)), count(*) FILTER (WHERE (a <-> b) <> (a::vector <-> b::vector)) AS l2,
    count(*) FILTER (WHERE (a <#> b) <> (a::vector <#> b::vector)) AS ip, count(*) FILTER (WHERE (a <+> b) <> (a::vector <+> b::vector)) AS l1,
    count(*) FILTER (WHERE (a <=> b) <> (a::vector <=> b::vector)) AS cosine FROM pieces;
DROP TABLE pieces;

-- the catalogue
SELECT proname, prosrc FROM pg_proc WHERE proname LIKE '%vec%_combine' ORDER BY 1;
SELECT name, setting, unit, short_desc, extra_desc, context, vartype, min_val, max_val, enumvals, boot_val
FROM pg_settings WHERE name LIKE 'hnsw.%' OR name LIKE 'ivfflat.%' ORDER BY name COLLATE "C";

-- PostgreSQL says that there is something after a value
CREATE TABLE received (v vector, h halfvec, s sparsevec);
CREATE FUNCTION receive(type text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file text := format('%s/received.bin', current_setting('data_directory'));
    field bytea := decode(value, 'hex');
    object oid;
BEGIN
    object := lo_from_bytea(0, '\x5047434f50590aff0d0a000000000000000000'::bytea || '\x0001' || int4send(length(field)) || field || '\xffff');
    PERFORM lo_export(object, file);
    PERFORM lo_unlink(object);
    DELETE FROM received;
    EXECUTE format('COPY received (%I) FROM %L (FORMAT binary)', type, file);
    RETURN (SELECT concat(v, h, s) FROM received);
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END
$$;
SELECT type, value, receive(type, value) FROM (VALUES
    ('v', '000100003f800000'), ('v', '000100003f80000000'), ('v', '000100003f8000'), ('v', '00010000'), ('v', '0001'), ('v', '00'), ('v', ''),
    ('v', '000000003f800000'), ('v', 'ffff00003f800000'), ('v', '000100013f800000ff'), ('v', '000100007f800000ff'),
    ('h', '000100003c00'), ('h', '000100003c0000'), ('h', '000100003c'), ('h', '0001'), ('h', '000100007c00ff'),
    ('s', '000000050000000100000000000000023f800000'), ('s', '000000050000000100000000000000023f80000000'),
    ('s', '000000050000000100000000000000023f8000'), ('s', '0000000500000001'),
    ('s', '00000005000000000000000000'), ('s', '00000005ffffffff0000000000'), ('s', '000000050000000100000001000000023f800000ff')) t (type, value);
DROP FUNCTION receive;
DROP TABLE received;
