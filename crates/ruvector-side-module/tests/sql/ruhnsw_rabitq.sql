-- The access method ruhnsw: indexes of one bit for each dimension.
SELECT setseed(0.25);
CREATE TABLE points (id int PRIMARY KEY, v vector(256));
INSERT INTO points SELECT i, ARRAY(SELECT sin(d * (i % 20 + 1)) + random() FROM generate_series(1, 256) d) FROM generate_series(1, 1000) i;
SET enable_seqscan = off;

-- Recall of each operator class, and what there is in the index.
CREATE INDEX l2 ON points USING ruhnsw (v) WITH (quantizer = rabitq);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('l2', samples => 20);
SELECT dims, metric, quantizer, elements, deleted, unreachable, m, ef_construction FROM ruvector_index_stats('l2');
SELECT * FROM ruvector_index_check('l2');
CREATE TABLE sizes AS SELECT pg_relation_size('l2') AS size;
EXPLAIN (COSTS OFF) SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 5;
-- By the distance of whole vectors, to the last digit.
SELECT bool_and(distance >= before) AS sorted, min(distance) FROM (
    SELECT distance, lag(distance) OVER () AS before FROM (
        SELECT v <-> q AS distance FROM points, (SELECT v AS q FROM points WHERE id = 7) p ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 40) a) b;
-- More rows are looked at than there would be elements in view without a quantiser; fewer if it is said so.
SELECT count(*) > 40 AS more FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 7)) p;
SET ruvector.oversample = 1;
SELECT count(*) = 40 AS as_many FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 7)) p;
RESET ruvector.oversample;
DROP INDEX l2;
CREATE INDEX hnsw ON points USING hnsw (v vector_l2_ops);
SELECT size <= 0.35 * pg_relation_size('hnsw') AS smaller FROM sizes;
DROP INDEX hnsw;
CREATE INDEX ip ON points USING ruhnsw (v vector_ip_ops) WITH (quantizer = rabitq);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('ip', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('ip');
DROP INDEX ip;
CREATE INDEX cosine ON points USING ruhnsw (v vector_cosine_ops) WITH (quantizer = rabitq);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('cosine', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('cosine');
CREATE INDEX l1 ON points USING ruhnsw (v vector_l1_ops) WITH (quantizer = rabitq);

-- Changes: rows that come, go, and are in the index no more.
DELETE FROM points WHERE id % 3 = 0;
INSERT INTO points SELECT 1000 + i, ARRAY(SELECT sin(d * (i % 20 + 1)) + random() FROM generate_series(1, 256) d) FROM generate_series(1, 300) i;
UPDATE points SET v = v + v WHERE id % 10 = 1;
VACUUM points;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('cosine', samples => 20);
SELECT * FROM ruvector_index_check('cosine');
SELECT elements = (SELECT count(*) FROM points) AS all_rows, deleted, unreachable FROM ruvector_index_stats('cosine');
DROP INDEX cosine;

-- Rows with the same vector stand at the same elements, ten at each.
INSERT INTO points SELECT 2000 + i, (SELECT v FROM points WHERE id = 7) FROM generate_series(1, 25) i;
SELECT count(*) FROM points WHERE v = (SELECT v FROM points WHERE id = 7);
CREATE INDEX same ON points USING ruhnsw (v) WITH (quantizer = rabitq);
SELECT elements = (SELECT count(*) - 23 FROM points) AS together FROM ruvector_index_stats('same');
SELECT count(*) FROM (SELECT v <-> (SELECT v FROM points WHERE id = 7) AS d FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 26) p WHERE d = 0;
INSERT INTO points SELECT 3000 + i, (SELECT v FROM points WHERE id = 7) FROM generate_series(1, 4) i;
SELECT elements = (SELECT count(*) - 27 FROM points) AS together FROM ruvector_index_stats('same');
DROP INDEX same;

-- With too little memory most are inserted into pages.
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE INDEX small ON points USING ruhnsw (v) WITH (quantizer = rabitq, m = 32);
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

-- With few rows there is nothing to choose a centre by: whole vectors, or, if they are too long, codes around zero.
CREATE TABLE t (id int, v vector(3), long vector(16000));
CREATE INDEX i ON t USING ruhnsw (v) WITH (quantizer = rabitq);
CREATE INDEX l ON t USING ruhnsw (long) WITH (quantizer = rabitq);
SELECT quantizer, elements FROM ruvector_index_stats('i');
SELECT quantizer, dims, elements FROM ruvector_index_stats('l');
INSERT INTO t SELECT i, ARRAY[i, i, i], ARRAY(SELECT sin(i * d) FROM generate_series(1, 16000) d) FROM generate_series(1, 30) i;
SELECT id FROM t ORDER BY v <-> '[7,7,7]' LIMIT 3;
SELECT id FROM t ORDER BY long <-> (SELECT long FROM t WHERE id = 12) LIMIT 1;
SELECT elements FROM ruvector_index_stats('l');
SELECT * FROM ruvector_index_check('l');
REINDEX INDEX l;
SELECT id FROM t ORDER BY long <-> (SELECT long FROM t WHERE id = 30) LIMIT 1;
SELECT pg_relation_size('l') <= 2 * 8192 + 65536 + 8192 * 10 AS small;
SELECT id FROM t ORDER BY long <-> '[1,2]';
DROP TABLE t;

-- What there is no angle with; and a vector that is longer than others, which must not decide about the centre.
CREATE TABLE t (id int, v vector(64));
INSERT INTO t SELECT i, ARRAY(SELECT (i * d) % 7 - 3 FROM generate_series(1, 64) d) FROM generate_series(1, 700) i;
INSERT INTO t VALUES (0, array_fill(0, ARRAY[64])), (-1, array_fill(1e30::real, ARRAY[64]));
CREATE INDEX i ON t USING ruhnsw (v) WITH (quantizer = rabitq);
SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = -1) LIMIT 1;
SELECT v <-> array_fill(0, ARRAY[64])::vector AS distance FROM t ORDER BY v <-> array_fill(0, ARRAY[64])::vector LIMIT 1;
SELECT * FROM ruvector_index_check('i');
DROP TABLE t;

-- Halves, and what has no codes.
CREATE UNLOGGED TABLE t (h halfvec(16000), s sparsevec(3), b bit(3));
CREATE INDEX i ON t USING ruhnsw (h halfvec_cosine_ops) WITH (quantizer = rabitq);
INSERT INTO t SELECT ARRAY(SELECT cos(i * d) FROM generate_series(1, 16000) d) FROM generate_series(1, 20) i;
SELECT dims, quantizer, elements FROM ruvector_index_stats('i');
SELECT round((h <=> q)::numeric, 3) AS distance FROM t, (SELECT h AS q FROM t LIMIT 1) p ORDER BY h <=> (SELECT h FROM t LIMIT 1) LIMIT 1;
CREATE INDEX ON t USING ruhnsw (s sparsevec_l2_ops) WITH (quantizer = rabitq);
CREATE INDEX ON t USING ruhnsw (b bit_hamming_ops) WITH (quantizer = rabitq);
CREATE INDEX ON t USING hnsw (h halfvec_l2_ops) WITH (quantizer = rabitq);
CREATE INDEX ON t USING ruhnsw (h halfvec_l2_ops) WITH (quantizer = rabitq2);
DROP TABLE t;
