-- Rows that come and go in an index of the access method ruhnsw.
SELECT setseed(0.75);
SET enable_seqscan = off;
CREATE TABLE points (id int PRIMARY KEY, v vector(32));
INSERT INTO points SELECT i, ARRAY(SELECT random() + i - i FROM generate_series(1, 32)) FROM generate_series(1, 2000) i;
CREATE INDEX points_v ON points USING ruhnsw (v);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 80);
INSERT INTO points SELECT i, ARRAY(SELECT random() + i - i FROM generate_series(1, 32)) FROM generate_series(2001, 3000) i;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 80);
SELECT elements, deleted, unreachable FROM ruvector_index_stats('points_v');
-- Far from what the quantiser was trained with.
INSERT INTO points SELECT i, ARRAY(SELECT 1000 * random() + i - i FROM generate_series(1, 32)) FROM generate_series(3001, 3020) i;
SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 3007) LIMIT 1;
SELECT * FROM ruvector_index_check('points_v');

-- Half of them go, and come again.
DELETE FROM points WHERE id % 2 = 0;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 160);
VACUUM points;
SELECT elements, deleted, unreachable FROM ruvector_index_stats('points_v');
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 80);
SELECT * FROM ruvector_index_check('points_v');
CREATE TABLE sizes AS SELECT pg_relation_size('points_v') AS size;
INSERT INTO points SELECT i, ARRAY(SELECT random() + i - i FROM generate_series(1, 32)) FROM generate_series(2, 3000, 2) i;
SELECT pg_relation_size('points_v') <= size * 1.05 AS reused FROM sizes;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 80);
SELECT * FROM ruvector_index_check('points_v');
DROP TABLE sizes;

-- A filter leaves few of those in view.
SELECT count(*) < 10 AS few FROM (SELECT id FROM points WHERE id % 100 = 0 ORDER BY v <-> (SELECT v FROM points WHERE id = 1) LIMIT 10) p;
SET hnsw.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT id FROM points WHERE id % 100 = 0 ORDER BY v <-> (SELECT v FROM points WHERE id = 1) LIMIT 10) p;
-- All of them, each once; with a limit on the work, some.
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
SET hnsw.max_scan_tuples = 200;
SELECT count(*) < 3000 AS some, count(*) = count(DISTINCT id) AS once FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
RESET hnsw.max_scan_tuples;
SET hnsw.iterative_scan = strict_order;
SELECT count(*) > 100 AS many, bool_and(distance >= before) AS sorted FROM (
    SELECT distance, lag(distance) OVER () AS before FROM (
        SELECT v <-> q AS distance FROM points, (SELECT v AS q FROM points WHERE id = 1) p ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) a) b;
RESET hnsw.iterative_scan;

-- How many are in view.
SET ruvector.ef_search = 7;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
SET ruvector.oversample = 2;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
SET ruvector.ef_search = 10000;
SET ruvector.oversample = 100;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
RESET ruvector.ef_search;
RESET ruvector.oversample;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;

-- Again and again, with other queries.
SELECT count(*) >= 3000 AS found FROM points a CROSS JOIN LATERAL (SELECT id FROM points b ORDER BY b.v <-> a.v LIMIT 1) n WHERE a.id = n.id;

-- Queries of other dimensions, and none.
SELECT id FROM points ORDER BY v <-> '[1,2,3]' LIMIT 1;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> NULL LIMIT 10) p;

-- A cursor over rows that are removed meanwhile, and over versions that are not seen.
BEGIN;
SET LOCAL hnsw.iterative_scan = relaxed_order;
DECLARE c CURSOR FOR SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 5);
FETCH 1 FROM c;
DELETE FROM points WHERE id <> 5;
MOVE 3 FROM c;
SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 5) LIMIT 5;
ROLLBACK;
UPDATE points SET v = (SELECT v FROM points WHERE id = 8) WHERE id IN (9, 10);
SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 8) LIMIT 3;
DROP TABLE points;

-- Codes that are the same do not make rows the same.
CREATE TABLE near (id int, v vector(2));
INSERT INTO near SELECT i, ARRAY[i % 100, i / 100] FROM generate_series(1, 3000) i;
CREATE INDEX near_v ON near USING ruhnsw (v);
INSERT INTO near SELECT 10000 + i, ARRAY[50 + i * 0.001, 15] FROM generate_series(1, 25) i;
SELECT id FROM near ORDER BY v <-> '[50.0102,15]' LIMIT 5;
SELECT elements < 3025 AS shared FROM ruvector_index_stats('near_v');
DELETE FROM near WHERE id = 10010;
VACUUM near;
SELECT id FROM near ORDER BY v <-> '[50.0102,15]' LIMIT 3;
SELECT * FROM ruvector_index_check('near_v');
DROP TABLE near;

-- Without data there is nothing to train a quantiser with.
CREATE TABLE late (id int, v vector(3));
CREATE INDEX late_v ON late USING ruhnsw (v vector_cosine_ops);
SELECT count(*) FROM (SELECT * FROM late ORDER BY v <=> '[1,2,3]') l;
INSERT INTO late SELECT i, ARRAY[i % 7, i % 11, i % 13] FROM generate_series(1, 1000) i;
SELECT quantizer, elements FROM ruvector_index_stats('late_v');
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('late_v', samples => 40);
REINDEX INDEX late_v;
SELECT quantizer FROM ruvector_index_stats('late_v');
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('late_v', samples => 40);
SELECT count(*) FROM (SELECT * FROM late ORDER BY v <=> '[0,0,0]' LIMIT 5) l;
DROP TABLE late;

-- Vectors that are too wide for that: the first row gives the range.
CREATE UNLOGGED TABLE wide (id int, v vector(7000));
CREATE INDEX wide_v ON wide USING ruhnsw (v vector_ip_ops);
SELECT count(*) FROM (SELECT * FROM wide ORDER BY v <#> (SELECT array_fill(1, ARRAY[7000])::vector)) w;
INSERT INTO wide VALUES (0, '[1,2,3]');
INSERT INTO wide SELECT i, ARRAY(SELECT 10 * sin(d * i) FROM generate_series(1, 7000) d) FROM generate_series(1, 60) i;
SELECT dims, quantizer, elements FROM ruvector_index_stats('wide_v');
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('wide_v', samples => 20);
SELECT id FROM wide ORDER BY v <#> (SELECT v FROM wide WHERE id = 44) LIMIT 1;
DELETE FROM wide WHERE id % 3 = 0;
VACUUM wide;
SELECT count(*) FROM (SELECT * FROM wide ORDER BY v <#> (SELECT v FROM wide WHERE id = 4)) w;
SELECT * FROM ruvector_index_check('wide_v');
CREATE INDEX wide_l2 ON wide USING ruhnsw (v);
SELECT dims, quantizer, elements FROM ruvector_index_stats('wide_l2');
SELECT id FROM wide ORDER BY v <-> (SELECT v FROM wide WHERE id = 7) LIMIT 1;
DROP TABLE wide;

-- A temporary table, and one that is truncated.
CREATE TEMP TABLE short (id int, v halfvec(3));
INSERT INTO short SELECT i, ARRAY[i, 1, 2] FROM generate_series(1, 300) i;
CREATE INDEX short_v ON short USING ruhnsw (v halfvec_l1_ops);
SELECT quantizer FROM ruvector_index_stats('short_v');
SELECT id FROM short ORDER BY v <+> '[100,1,2]' LIMIT 3;
TRUNCATE short;
INSERT INTO short SELECT i, ARRAY[i, 1, 2] FROM generate_series(1, 30) i;
SELECT quantizer FROM ruvector_index_stats('short_v');
SELECT id FROM short ORDER BY v <+> '[10,1,2]' LIMIT 3;
DROP TABLE short;
