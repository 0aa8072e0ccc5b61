SET enable_seqscan = off;
CREATE TABLE points (id int PRIMARY KEY, v vector(2));
INSERT INTO points SELECT i, ARRAY[i, 0] FROM generate_series(1, 2000) i;
CREATE INDEX points_v ON points USING hnsw (v vector_l2_ops);
ANALYZE points;

-- A filter leaves few of those in view.
SELECT count(*) < 10 AS few FROM (SELECT id FROM points WHERE id % 100 = 0 ORDER BY v <-> '[1,0]' LIMIT 10) p;
SET hnsw.iterative_scan = strict_order;
SELECT id FROM points WHERE id % 100 = 0 ORDER BY v <-> '[1,0]' LIMIT 10;
SET hnsw.iterative_scan = relaxed_order;
SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM points WHERE id % 100 = 0 ORDER BY v <-> '[1,0]' LIMIT 10) p;
-- All of them, each once.
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> '[1,0]') p;
SET hnsw.max_scan_tuples = 200;
SELECT count(*) BETWEEN 150 AND 450 AS about FROM (SELECT id FROM points ORDER BY v <-> '[1,0]') p;
RESET hnsw.max_scan_tuples;
RESET hnsw.iterative_scan;

-- Again and again, with other queries.
SELECT count(*) FROM points a CROSS JOIN LATERAL (SELECT id FROM points b ORDER BY b.v <-> a.v LIMIT 1) n WHERE a.id = n.id;

-- Queries of other dimensions, and none.
SELECT id FROM points ORDER BY v <-> '[1,2,3]' LIMIT 1;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> NULL LIMIT 10) p;
-- Without an order the index is not used.
EXPLAIN (COSTS OFF) SELECT count(*) FROM points WHERE v IS NOT NULL;

-- A cursor over rows that are removed meanwhile.
BEGIN;
SET LOCAL hnsw.iterative_scan = relaxed_order;
DECLARE c CURSOR FOR SELECT id FROM points ORDER BY v <-> '[1,0]';
FETCH 2 FROM c;
DELETE FROM points WHERE id > 3;
FETCH 3 FROM c;
ROLLBACK;

-- Rows with the same vector: more than one element has places for.
TRUNCATE points;
INSERT INTO points SELECT i, '[5,5]' FROM generate_series(1, 35) i;
INSERT INTO points VALUES (36, '[6,6]');
SELECT elements FROM ruvector_index_stats('points_v');
SELECT count(*), sum(id) FROM (SELECT id FROM points ORDER BY v <-> '[5,5]') p;
REINDEX INDEX points_v;
SELECT elements FROM ruvector_index_stats('points_v');
SELECT count(*), sum(id) FROM (SELECT id FROM points ORDER BY v <-> '[5,5]') p;
DELETE FROM points WHERE id BETWEEN 3 AND 34;
VACUUM points;
SELECT id FROM points ORDER BY v <-> '[6,6]', id;
SELECT * FROM ruvector_index_check('points_v');
DROP TABLE points;

-- A temporary table, one on few pages, and vectors that have pages of their own.
CREATE TEMP TABLE wide (id int, v vector(2000));
ALTER TABLE wide ALTER v SET STORAGE external;
INSERT INTO wide SELECT i, array_fill(i, ARRAY[2000])::vector FROM generate_series(1, 30) i;
CREATE INDEX wide_v ON wide USING hnsw (v vector_l2_ops) WITH (m = 40, ef_construction = 80);
INSERT INTO wide SELECT i, array_fill(i, ARRAY[2000])::vector FROM generate_series(31, 60) i;
SELECT id FROM wide ORDER BY v <-> array_fill(44, ARRAY[2000])::vector(2000) LIMIT 1;
SELECT id FROM wide ORDER BY v <-> array_fill(4, ARRAY[2000])::vector(2000) LIMIT 1;
DELETE FROM wide WHERE id % 3 = 0;
VACUUM wide;
SELECT count(*) FROM (SELECT id FROM wide ORDER BY v <-> array_fill(4, ARRAY[2000])::vector(2000)) w;
SELECT * FROM ruvector_index_check('wide_v');
INSERT INTO wide SELECT i, array_fill(i, ARRAY[2000])::vector FROM generate_series(61, 70) i;
SELECT id FROM wide ORDER BY v <-> array_fill(66, ARRAY[2000])::vector(2000) LIMIT 1;
SELECT * FROM ruvector_index_check('wide_v');

-- The functions for looking after indexes.
CREATE TABLE plain (id int PRIMARY KEY, b bit(9), s sparsevec(9), h halfvec(3));
SELECT * FROM ruvector_index_check('plain_pkey');
SELECT * FROM ruvector_index_check('plain');
CREATE INDEX plain_b ON plain USING hnsw (b bit_jaccard_ops) WITH (m = 4, ef_construction = 10);
CREATE INDEX plain_s ON plain USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX plain_h ON plain USING hnsw (h halfvec_l1_ops);
INSERT INTO plain SELECT i, i::bit(9), format('{%s:1,9:2}/9', i % 8 + 1)::sparsevec, ARRAY[i, 1, 2]::halfvec FROM generate_series(0, 511) i;
SELECT dims, metric, quantizer, elements, deleted, unreachable, m, ef_construction FROM ruvector_index_stats('plain_b');
SELECT dims, metric, quantizer, elements, deleted, unreachable, m, ef_construction FROM ruvector_index_stats('plain_s');
SELECT dims, metric, quantizer, elements, deleted, unreachable, m, ef_construction FROM ruvector_index_stats('plain_h');
SELECT h FROM plain ORDER BY h <+> '[100,1,2]' LIMIT 1;
SELECT b FROM plain ORDER BY b <%> B'000001111' LIMIT 1;
SELECT b FROM plain ORDER BY b <%> B'00001111' LIMIT 1;
SELECT s FROM plain ORDER BY s <=> '{3:1,9:2}/9' LIMIT 1;
SELECT s FROM plain ORDER BY s <=> '{3:1}/10' LIMIT 1;
DROP TABLE plain;

-- Options and settings.
CREATE TABLE t (v vector);
CREATE INDEX ON t USING hnsw (v vector_l2_ops);
CREATE INDEX ON t USING hnsw ((v::vector(2001)) vector_l2_ops);
CREATE INDEX ON t USING hnsw ((v::halfvec(4001)) halfvec_l2_ops);
SET hnsw.no_such_setting = 1;
DROP TABLE t;
