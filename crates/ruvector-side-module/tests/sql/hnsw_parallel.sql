-- Indexes of hnsw and ruhnsw that several processes build.
\set VERBOSITY terse
-- The temporary files of a sort are not to be told of.
SET log_temp_files = -1;
SELECT setseed(0.5);
SET enable_seqscan = off;
SET max_parallel_maintenance_workers = 2;
CREATE TABLE points (id int PRIMARY KEY, v vector(16));
ALTER TABLE points SET (parallel_workers = 2);
INSERT INTO points SELECT i, ARRAY(SELECT random() + i - i FROM generate_series(1, 16)) FROM generate_series(1, 4000) i;
-- Without a vector; and many with the same one.
INSERT INTO points SELECT i, NULL FROM generate_series(4001, 4100) i;
INSERT INTO points SELECT i, ARRAY(SELECT (i % 7 * d % 5) / 5.0 FROM generate_series(1, 16) d) FROM generate_series(4101, 4450) i;
SET client_min_messages = debug1;
CREATE INDEX points_v ON points USING hnsw (v vector_l2_ops);
RESET client_min_messages;
SELECT * FROM ruvector_index_check('points_v');
SELECT elements BETWEEN 4035 AND 4100 AS elements, deleted, unreachable FROM ruvector_index_stats('points_v');
SELECT recall >= 0.9 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 100);
-- All of them, each once.
SET hnsw.iterative_scan = relaxed_order;
SET hnsw.max_scan_tuples = 100000;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
SET hnsw.ef_search = 200;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 4105) LIMIT 50) p JOIN points USING (id) WHERE v = (SELECT v FROM points WHERE id = 4105);
RESET hnsw.ef_search;

-- Rows that come and go afterwards.
INSERT INTO points SELECT i, ARRAY(SELECT random() + i - i FROM generate_series(1, 16)) FROM generate_series(4451, 4600) i;
DELETE FROM points WHERE id % 4 = 0;
VACUUM points;
SELECT * FROM ruvector_index_check('points_v');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;

-- The graph is written when memory is full, and all go on with pages.
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
REINDEX INDEX points_v;
RESET maintenance_work_mem;
RESET client_min_messages;
SELECT * FROM ruvector_index_check('points_v');
SELECT recall >= 0.9 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 100);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;

-- While others use the table; of an expression, and of some rows.
SET client_min_messages = debug1;
CREATE INDEX CONCURRENTLY points_halfvec ON points USING hnsw ((v::halfvec(16)) halfvec_cosine_ops) WHERE id > 1000;
RESET client_min_messages;
SELECT indisvalid FROM pg_index WHERE indexrelid = 'points_halfvec'::regclass;
SELECT * FROM ruvector_index_check('points_halfvec');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points WHERE id > 1000 ORDER BY v::halfvec(16) <=> (SELECT v::halfvec(16) FROM points WHERE id = 1)) p;
DROP INDEX points_halfvec;

-- An error in one of the processes ends all of them, and nothing is left.
DROP INDEX points_v;
ALTER TABLE points ALTER v TYPE vector;
UPDATE points SET v = '[1,2,3]' WHERE id = 3333;
CREATE INDEX points_wrong ON points USING hnsw ((v::vector(16)) vector_l2_ops);
SELECT count(*) FROM pg_class WHERE relname = 'points_wrong';
DELETE FROM points WHERE id = 3333;
ALTER TABLE points ALTER v TYPE vector(16);

-- Codes.
SET client_min_messages = debug1;
CREATE INDEX points_sq8 ON points USING ruhnsw (v vector_l2_ops);
RESET client_min_messages;
SELECT quantizer, unreachable FROM ruvector_index_stats('points_sq8');
SELECT * FROM ruvector_index_check('points_sq8');
SELECT recall >= 0.9 AS good FROM ruvector_evaluate_recall('points_sq8', samples => 40, ef => 100);
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
DROP INDEX points_sq8;
CREATE INDEX points_f16 ON points USING ruhnsw (v vector_cosine_ops) WITH (quantizer = f16, m = 8);
SELECT quantizer, m, unreachable FROM ruvector_index_stats('points_f16');
SELECT * FROM ruvector_index_check('points_f16');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <=> (SELECT v FROM points WHERE id = 1)) p;
DROP INDEX points_f16;
CREATE INDEX points_rabitq ON points USING ruhnsw (v vector_l2_ops) WITH (quantizer = rabitq);
SELECT quantizer, unreachable FROM ruvector_index_stats('points_rabitq');
SELECT * FROM ruvector_index_check('points_rabitq');
SELECT recall >= 0.8 AS good FROM ruvector_evaluate_recall('points_rabitq', samples => 40, ef => 100);
DROP INDEX points_rabitq;
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE INDEX points_sq8 ON points USING ruhnsw (v vector_l1_ops) WITH (m = 24);
RESET maintenance_work_mem;
RESET client_min_messages;
SELECT quantizer, unreachable FROM ruvector_index_stats('points_sq8');
SELECT * FROM ruvector_index_check('points_sq8');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <+> (SELECT v FROM points WHERE id = 1)) p;
DROP TABLE points;

-- Nothing to build of; too few rows to train with.
CREATE TABLE empty (id int, v vector(3000));
ALTER TABLE empty SET (parallel_workers = 2);
CREATE INDEX empty_v ON empty USING ruhnsw (v);
SELECT elements FROM ruvector_index_stats('empty_v');
INSERT INTO empty VALUES (1, NULL), (2, ARRAY(SELECT i FROM generate_series(1, 3000) i));
REINDEX TABLE empty;
SELECT id FROM empty ORDER BY v <-> (SELECT v FROM empty WHERE id = 2);
SELECT * FROM ruvector_index_check('empty_v');
DROP INDEX empty_v;
ALTER TABLE empty ALTER v TYPE halfvec(3000);
DELETE FROM empty WHERE v IS NOT NULL;
CREATE INDEX empty_v ON empty USING hnsw (v halfvec_l2_ops);
SELECT elements FROM ruvector_index_stats('empty_v');
INSERT INTO empty VALUES (3, ARRAY(SELECT i FROM generate_series(1, 3000) i)::vector::halfvec);
SELECT id FROM empty ORDER BY v <-> (SELECT v FROM empty WHERE id = 3);
DROP TABLE empty;

-- Codes with lengths of their own, and bits.
CREATE UNLOGGED TABLE others (id int PRIMARY KEY, s sparsevec(1000), b bit(64));
ALTER TABLE others SET (parallel_workers = 3);
INSERT INTO others SELECT i, format('{1:%s,2:%s,3:%s%s}/1000', random() + 1, random() + 1, random() + 1, CASE WHEN i % 3 = 0 THEN format(',%s:%s', 4 + i % 9, random() / 2) END)::sparsevec,
	(random() * 1e9)::int::bit(32) || (random() * 1e9)::int::bit(32) FROM generate_series(1, 3000) i;
SET client_min_messages = debug1;
CREATE INDEX others_s ON others USING hnsw (s sparsevec_l2_ops);
CREATE INDEX others_b ON others USING hnsw (b bit_hamming_ops);
RESET client_min_messages;
SELECT * FROM ruvector_index_check('others_s');
SELECT * FROM ruvector_index_check('others_b');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM others ORDER BY s <-> '{1:1,2:1,3:1}/1000') p;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM others ORDER BY b <~> (SELECT b FROM others WHERE id = 1)) p;
SELECT id FROM others ORDER BY s <-> (SELECT s FROM others WHERE id = 777) LIMIT 1;
SELECT id FROM others ORDER BY b <~> (SELECT b FROM others WHERE id = 888) LIMIT 1;
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
REINDEX TABLE others;
RESET maintenance_work_mem;
RESET client_min_messages;
SELECT * FROM ruvector_index_check('others_s');
SELECT * FROM ruvector_index_check('others_b');
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM others ORDER BY s <-> '{1:1,2:1,3:1}/1000') p;
DROP TABLE others;

-- Temporary tables are of one process.
CREATE TEMPORARY TABLE own (v vector(2));
ALTER TABLE own SET (parallel_workers = 2);
INSERT INTO own SELECT ARRAY[i, i] FROM generate_series(1, 100) i;
SET client_min_messages = debug1;
CREATE INDEX own_v ON own USING hnsw (v vector_l2_ops);
RESET client_min_messages;
DROP TABLE own;
RESET hnsw.iterative_scan;
RESET hnsw.max_scan_tuples;
RESET max_parallel_maintenance_workers;
RESET enable_seqscan;
