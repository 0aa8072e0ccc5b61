-- An index gives what a sequential scan gives if all lists are looked into, whatever has happened to the table.
CREATE FUNCTION make_vector(i bigint, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(((i * 7919 + j * j * 104729 + i * j * 31) % 1009) / 1009.0 - 0.5 ORDER BY j)::real[]::vector
    FROM generate_series(1, dims) j
$$;
CREATE FUNCTION differences(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    by_index text[];
    by_table text[];
BEGIN
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_indexscan = on;
    EXECUTE 'SELECT array_agg(r::text ORDER BY r::text) FROM (' || query || ') r' INTO by_index;
    SET LOCAL enable_seqscan = on;
    SET LOCAL enable_indexscan = off;
    EXECUTE 'SELECT array_agg(r::text ORDER BY r::text) FROM (' || query || ') r' INTO by_table;
    RETURN (SELECT count(*) FROM (
        (SELECT unnest(by_index) EXCEPT ALL SELECT unnest(by_table))
        UNION ALL (SELECT unnest(by_table) EXCEPT ALL SELECT unnest(by_index))) d);
END
$$;

CREATE TABLE items (id int PRIMARY KEY, v vector(40), h halfvec(40), b bit(40));
INSERT INTO items SELECT i, make_vector(i, 40), make_vector(i, 40), binary_quantize(make_vector(i, 40)) FROM generate_series(1, 2000) i;
CREATE INDEX items_l2 ON items USING ivfflat (v) WITH (lists = 20);
CREATE INDEX items_ip ON items USING ivfflat (v vector_ip_ops) WITH (lists = 20);
CREATE INDEX items_cosine ON items USING ivfflat (v vector_cosine_ops) WITH (lists = 20);
CREATE INDEX items_half_l2 ON items USING ivfflat (h halfvec_l2_ops) WITH (lists = 20);
CREATE INDEX items_half_ip ON items USING ivfflat (h halfvec_ip_ops) WITH (lists = 20);
CREATE INDEX items_half_cosine ON items USING ivfflat (h halfvec_cosine_ops) WITH (lists = 20);
CREATE INDEX items_bits ON items USING ivfflat (b bit_hamming_ops) WITH (lists = 20);
SET ivfflat.probes = 20;

CREATE FUNCTION check_all() RETURNS TABLE (operator text, different bigint) LANGUAGE sql AS $$
    SELECT o, differences(format('SELECT round((%1$s)::numeric, 4) FROM items ORDER BY %1$s LIMIT 50', o))
    FROM unnest(ARRAY[
        'v <-> make_vector(5000, 40)', 'v <#> make_vector(5000, 40)', 'v <=> make_vector(5000, 40)',
        'h <-> make_vector(5000, 40)::halfvec', 'h <#> make_vector(5000, 40)::halfvec',
        'b <~> binary_quantize(make_vector(5000, 40))']) o
    UNION ALL
    SELECT 'all rows', differences('SELECT id FROM items WHERE b IS NOT NULL ORDER BY b <~> binary_quantize(make_vector(5000, 40))')
$$;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY v <-> '[1]' LIMIT 3;
RESET enable_seqscan;
SELECT * FROM check_all();

-- half precision rounds directions, so that rows of almost the same cosine may change places
SELECT differences('SELECT round((h <=> make_vector(5000, 40)::halfvec)::numeric, 4) FROM items ORDER BY h <=> make_vector(5000, 40)::halfvec LIMIT 50') <= 10 AS similar;

-- insertion, deletion, change
INSERT INTO items SELECT i, make_vector(i, 40), make_vector(i, 40), binary_quantize(make_vector(i, 40)) FROM generate_series(2001, 3000) i;
SELECT * FROM check_all();
DELETE FROM items WHERE id % 3 = 0;
UPDATE items SET v = make_vector(id + 10000, 40) WHERE id % 5 = 0;
SELECT * FROM check_all();
VACUUM items;
SELECT * FROM check_all();

-- nulls and zeros
INSERT INTO items (id) VALUES (9001);
INSERT INTO items VALUES (9002, array_fill(0, ARRAY[40])::vector, array_fill(0, ARRAY[40])::halfvec, repeat('0', 40)::bit(40));
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT 1 FROM items ORDER BY v <-> make_vector(1, 40) OFFSET 0) s;
SELECT count(*) FROM (SELECT 1 FROM items ORDER BY v <=> make_vector(1, 40) OFFSET 0) s;
SELECT count(*) FROM (SELECT 1 FROM items ORDER BY h <=> make_vector(1, 40)::halfvec OFFSET 0) s;
SELECT count(*) FROM (SELECT 1 FROM items ORDER BY v <-> (SELECT NULL::vector) OFFSET 0) s;
SELECT count(*) FROM (SELECT 1 FROM items ORDER BY v <=> (SELECT array_fill(0, ARRAY[40])::vector) OFFSET 0) s;
SELECT id FROM items ORDER BY v <-> '[1,2]' LIMIT 1;
SELECT id FROM items ORDER BY h <#> '[1,2]' LIMIT 1;
SELECT id FROM items ORDER BY b <~> B'101' LIMIT 1;
RESET enable_seqscan;

-- the room of what was deleted is used again
CREATE TABLE room (id int, v vector(40));
INSERT INTO room SELECT i, make_vector(i, 40) FROM generate_series(1, 3000) i;
CREATE INDEX room_v ON room USING ivfflat (v) WITH (lists = 10);
SELECT pg_relation_size('room_v') AS size \gset
DELETE FROM room;
VACUUM room;
INSERT INTO room SELECT i, make_vector(i, 40) FROM generate_series(1, 3000) i;
SELECT pg_relation_size('room_v') = :size AS same_size;
DELETE FROM room WHERE id % 2 = 0;
VACUUM room;
INSERT INTO room SELECT i, make_vector(i, 40) FROM generate_series(2, 3000, 2) i;
SELECT pg_relation_size('room_v') = :size AS same_size;
SET ivfflat.probes = 10;
SELECT differences('SELECT id FROM room ORDER BY v <-> make_vector(77, 40)');
REINDEX INDEX room_v;
SELECT differences('SELECT id FROM room ORDER BY v <-> make_vector(77, 40)');
REINDEX INDEX CONCURRENTLY room_v;
SELECT differences('SELECT id FROM room ORDER BY v <-> make_vector(77, 40)');

-- candidates that do not fit into work_mem
CREATE TABLE many (id int, v vector(2));
INSERT INTO many SELECT i, ARRAY[i % 173, i % 71]::vector FROM generate_series(1, 12000) i;
CREATE INDEX many_v ON many USING ivfflat (v) WITH (lists = 3);
SET work_mem = '64kB';
SET ivfflat.probes = 3;
SET enable_seqscan = off;
SELECT count(*), count(DISTINCT id), bool_and(d >= before) AS sorted
FROM (SELECT id, d, lag(d, 1, d) OVER () AS before FROM (SELECT id, v <-> '[50,50]' AS d FROM many ORDER BY v <-> '[50,50]' OFFSET 0) s) s;
RESET work_mem;

-- scans that are restarted
SELECT count(*), sum((g - n.id) ^ 2) AS distance
FROM generate_series(100, 400) g,
    LATERAL (SELECT id FROM many WHERE id < 500 ORDER BY v <-> ARRAY[g % 173, g % 71]::vector LIMIT 1) n;

-- more lists when more rows are asked for
SET ivfflat.probes = 1;
SELECT count(*) < 100 AS too_few FROM (SELECT 1 FROM many WHERE id % 100 = 7 ORDER BY v <-> '[50,50]' LIMIT 120) s;
SET ivfflat.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT 1 FROM many WHERE id % 100 = 7 ORDER BY v <-> '[50,50]' LIMIT 120) s;
SET ivfflat.max_probes = 1;
SELECT count(*) < 100 AS too_few FROM (SELECT 1 FROM many WHERE id % 100 = 7 ORDER BY v <-> '[50,50]' LIMIT 120) s;
RESET ivfflat.iterative_scan;
RESET ivfflat.max_probes;
RESET enable_seqscan;

-- expressions, conditions, an operator class of one's own, no logging
CREATE INDEX items_expression ON items USING ivfflat ((subvector(v, 1, 3)::vector(3)) vector_l2_ops) WITH (lists = 5);
CREATE INDEX items_condition ON items USING ivfflat ((subvector(v, 4, 3)::vector(3)) vector_l2_ops) WITH (lists = 5) WHERE id % 2 = 0;
CREATE OPERATOR CLASS vector_l1_ops FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <+> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 l1_distance(vector, vector),
    FUNCTION 3 l1_distance(vector, vector);
CREATE INDEX items_l1 ON items USING ivfflat (v vector_l1_ops) WITH (lists = 5);
SET ivfflat.probes = 5;
SELECT differences('SELECT round((subvector(v, 1, 3)::vector(3) <-> ''[0,0,0]'')::numeric, 4) FROM items WHERE v IS NOT NULL ORDER BY subvector(v, 1, 3)::vector(3) <-> ''[0,0,0]'' LIMIT 20');
SELECT differences('SELECT round((subvector(v, 4, 3)::vector(3) <-> ''[0,0,0]'')::numeric, 4) FROM items WHERE id % 2 = 0 AND v IS NOT NULL ORDER BY subvector(v, 4, 3)::vector(3) <-> ''[0,0,0]'' LIMIT 20');
SELECT differences('SELECT round((v <+> make_vector(3, 40))::numeric, 4) FROM items WHERE v IS NOT NULL ORDER BY v <+> make_vector(3, 40) LIMIT 20');
SELECT opcname, amvalidate(c.oid) FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'ivfflat' ORDER BY 1;
DROP INDEX items_l1;
DROP OPERATOR CLASS vector_l1_ops USING ivfflat;
CREATE UNLOGGED TABLE unlogged (v vector(2));
CREATE INDEX unlogged_v ON unlogged USING ivfflat (v) WITH (lists = 2);
INSERT INTO unlogged VALUES ('[1,2]'), ('[3,4]');
SET enable_seqscan = off;
SET ivfflat.probes = 2;
SELECT * FROM unlogged ORDER BY v <-> '[3,3]';

-- what cannot be
CREATE INDEX ON items USING ivfflat (id);
CREATE INDEX ON items USING ivfflat (v, h halfvec_l2_ops);
CREATE UNIQUE INDEX ON items USING ivfflat (v);
CREATE INDEX ON items USING ivfflat (v) INCLUDE (id);
CREATE INDEX ON items USING ivfflat ((v::vector));
CREATE INDEX ON items USING ivfflat ((array_fill(1, ARRAY[2001])::vector(2001)));
CREATE INDEX ON items USING ivfflat ((array_fill(1, ARRAY[4001])::halfvec(4001)) halfvec_l2_ops);
CREATE INDEX ON items USING ivfflat ((subvector(v, 1, 1)::vector(1)) vector_cosine_ops);
SET maintenance_work_mem = '1MB';
CREATE INDEX ON items USING ivfflat (v) WITH (lists = 2000);
RESET maintenance_work_mem;
SET ivfflat.nothing = 1;
SELECT pg_index_column_has_property('items_l2', 1, 'distance_orderable'), pg_index_column_has_property('items_l2', 1, 'returnable');

DROP TABLE items, room, many, unlogged;
DROP FUNCTION check_all, differences, make_vector;
