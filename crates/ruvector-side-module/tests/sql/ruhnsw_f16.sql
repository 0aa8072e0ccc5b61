-- The access method ruhnsw: indexes of half precision numbers.
SELECT setseed(0.25);
CREATE TABLE points (id int PRIMARY KEY, v vector(256));
INSERT INTO points SELECT i, ARRAY(SELECT sin(d * (i % 20 + 1)) + random() FROM generate_series(1, 256) d) FROM generate_series(1, 1000) i;
SET enable_seqscan = off;

-- Recall of each operator class, and what there is in the index.
CREATE INDEX l2 ON points USING ruhnsw (v) WITH (quantizer = f16);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('l2', samples => 20);
SELECT dims, metric, quantizer, elements, deleted, unreachable, m, ef_construction FROM ruvector_index_stats('l2');
SELECT * FROM ruvector_index_check('l2');
CREATE TABLE sizes AS SELECT pg_relation_size('l2') AS size;
EXPLAIN (COSTS OFF) SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 5;
-- By the distance of whole vectors, to the last digit.
SELECT bool_and(distance >= before) AS sorted, min(distance) FROM (
    SELECT distance, lag(distance) OVER () AS before FROM (
        SELECT v <-> q AS distance FROM points, (SELECT v AS q FROM points WHERE id = 7) p ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 40) a) b;
DROP INDEX l2;
CREATE INDEX hnsw ON points USING hnsw (v vector_l2_ops);
SELECT size <= 0.7 * pg_relation_size('hnsw') AS smaller FROM sizes;
DROP INDEX hnsw;
CREATE INDEX ip ON points USING ruhnsw (v vector_ip_ops) WITH (quantizer = f16);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('ip', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('ip');
DROP INDEX ip;
CREATE INDEX cosine ON points USING ruhnsw (v vector_cosine_ops) WITH (quantizer = f16);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('cosine', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('cosine');
DROP INDEX cosine;
CREATE INDEX l1 ON points USING ruhnsw (v vector_l1_ops) WITH (quantizer = f16);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('l1', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('l1');

-- Changes: rows that come, go, and are in the index no more.
DELETE FROM points WHERE id % 3 = 0;
INSERT INTO points SELECT 1000 + i, ARRAY(SELECT sin(d * (i % 20 + 1)) + random() FROM generate_series(1, 256) d) FROM generate_series(1, 300) i;
UPDATE points SET v = v + v WHERE id % 10 = 1;
VACUUM points;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('l1', samples => 20);
SELECT * FROM ruvector_index_check('l1');
SELECT elements = (SELECT count(*) FROM points) AS all_rows, deleted, unreachable FROM ruvector_index_stats('l1');
DROP INDEX l1;

-- With too little memory most are inserted into pages.
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE INDEX small ON points USING ruhnsw (v) WITH (quantizer = f16);
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('small', samples => 20);
SELECT * FROM ruvector_index_check('small');
-- An option that was changed counts when the index is built again.
ALTER INDEX small SET (quantizer = sq8);
SELECT quantizer FROM ruvector_index_stats('small');
REINDEX INDEX small;
SELECT quantizer FROM ruvector_index_stats('small');
DROP TABLE points, sizes;

-- No rows are needed to choose anything by. What half precision does not have is found too, and in order; so are rows whose
-- codes are the same.
CREATE TABLE t (id int, v vector(2));
CREATE INDEX i ON t USING ruhnsw (v) WITH (quantizer = f16);
SELECT quantizer, elements FROM ruvector_index_stats('i');
INSERT INTO t VALUES (1, '[1e15,1]'), (2, '[65504,1]'), (3, '[1e10,1]'), (4, '[-7e4,1e-30]'), (5, '[1,1]'), (6, '[1.00001,1]'), (7, '[1.0001,1]');
SELECT id FROM t ORDER BY v <-> '[1,1]';
SELECT id FROM t ORDER BY v <-> '[1e15,0]' LIMIT 1;
SELECT id FROM t ORDER BY v <-> '[-1e5,0]' LIMIT 1;
SELECT elements FROM ruvector_index_stats('i');
SELECT * FROM ruvector_index_check('i');
TRUNCATE t;
INSERT INTO t VALUES (8, '[3,4]');
SELECT id FROM t ORDER BY v <-> '[1,1]';
DROP TABLE t;
CREATE UNLOGGED TABLE t (h halfvec(3), v vector);
-- Half precision vectors are codes of themselves.
CREATE INDEX i ON t USING ruhnsw (h halfvec_l2_ops) WITH (quantizer = f16);
SELECT quantizer FROM ruvector_index_stats('i');
CREATE INDEX ON t USING ruhnsw ((v::vector(4000)) vector_l2_ops) WITH (quantizer = f16);
INSERT INTO t VALUES ('[1,2,3]', array_fill(1, ARRAY[4000])), ('[1,2,4]', array_fill(0.5, ARRAY[4000]));
SELECT h FROM t ORDER BY v::vector(4000) <-> array_fill(0.4, ARRAY[4000])::vector(4000);
CREATE INDEX ON t USING ruhnsw ((v::vector(4001)) vector_l2_ops) WITH (quantizer = f16);
DROP TABLE t;
