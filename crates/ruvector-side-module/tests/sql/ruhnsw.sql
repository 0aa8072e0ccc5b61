-- The access method ruhnsw: indexes of one byte for each dimension.
SELECT setseed(0.25);
CREATE TABLE points (id int PRIMARY KEY, v vector(768));
INSERT INTO points SELECT i, ARRAY(SELECT sin(d * (i % 20 + 1)) + random() FROM generate_series(1, 768) d) FROM generate_series(1, 1000) i;
SET enable_seqscan = off;

-- Recall of each operator class, and what there is in the index.
CREATE INDEX l2 ON points USING ruhnsw (v);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('l2', samples => 20);
SELECT dims, metric, quantizer, elements, deleted, unreachable, m, ef_construction FROM ruvector_index_stats('l2');
SELECT * FROM ruvector_index_check('l2');
CREATE TABLE sizes AS SELECT pg_relation_size('l2') AS size;
EXPLAIN (COSTS OFF) SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 5;
-- By distance, to the last digit.
SELECT bool_and(distance >= before) AS sorted, min(distance) FROM (
    SELECT distance, lag(distance) OVER () AS before FROM (
        SELECT v <-> q AS distance FROM points, (SELECT v AS q FROM points WHERE id = 7) p ORDER BY v <-> (SELECT v FROM points WHERE id = 7) LIMIT 40) a) b;
DROP INDEX l2;
CREATE INDEX hnsw ON points USING hnsw (v vector_l2_ops);
SELECT size <= 0.35 * pg_relation_size('hnsw') AS smaller FROM sizes;
DROP INDEX hnsw;
CREATE INDEX ip ON points USING ruhnsw (v vector_ip_ops);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('ip', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('ip');
SELECT * FROM ruvector_index_check('ip');
DROP INDEX ip;
CREATE INDEX cosine ON points USING ruhnsw (v vector_cosine_ops);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('cosine', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('cosine');
SELECT * FROM ruvector_index_check('cosine');
DROP INDEX cosine;
CREATE INDEX l1 ON points USING ruhnsw (v vector_l1_ops);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('l1', samples => 20);
SELECT metric, quantizer FROM ruvector_index_stats('l1');
SELECT * FROM ruvector_index_check('l1');
DROP INDEX l1;
-- Of an expression and a part of the table, in half precision.
CREATE INDEX half_l2 ON points USING ruhnsw ((v::halfvec(768)) halfvec_l2_ops) WHERE id > 300;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('half_l2', samples => 20);
SELECT dims, metric, quantizer, elements FROM ruvector_index_stats('half_l2');
SELECT id FROM points WHERE id > 300 ORDER BY v::halfvec(768) <-> (SELECT v::halfvec(768) FROM points WHERE id = 333) LIMIT 1;
DROP INDEX half_l2;
CREATE INDEX half_ip ON points USING ruhnsw ((v::halfvec(768)) halfvec_ip_ops);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('half_ip', samples => 20);
DROP INDEX half_ip;
CREATE INDEX half_cosine ON points USING ruhnsw ((v::halfvec(768)) halfvec_cosine_ops);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('half_cosine', samples => 20);
DROP INDEX half_cosine;
CREATE INDEX half_l1 ON points USING ruhnsw ((v::halfvec(768)) halfvec_l1_ops);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('half_l1', samples => 20);
DROP INDEX half_l1;

-- Whole vectors.
CREATE INDEX whole ON points USING ruhnsw (v) WITH (quantizer = none, m = 8, ef_construction = 40);
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('whole', samples => 20);
SELECT dims, metric, quantizer, m, ef_construction FROM ruvector_index_stats('whole');
-- An option that was changed counts when the index is built again.
ALTER INDEX whole SET (quantizer = sq8);
SELECT quantizer FROM ruvector_index_stats('whole');
REINDEX INDEX whole;
SELECT quantizer FROM ruvector_index_stats('whole');
ALTER INDEX whole SET (quantizer = none);
SELECT quantizer FROM ruvector_index_stats('whole');
SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 11) LIMIT 1;
DROP INDEX whole;

-- With too little memory most are inserted into pages.
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE INDEX small ON points USING ruhnsw (v vector_ip_ops);
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT recall >= 0.95 AS good FROM ruvector_evaluate_recall('small', samples => 20);
SELECT * FROM ruvector_index_check('small');
DROP TABLE points, sizes;

-- Options, types and settings.
CREATE TABLE t (v vector, b bit(3), s sparsevec(3));
CREATE INDEX ON t USING ruhnsw (v);
CREATE INDEX ON t USING ruhnsw ((v::vector(8001)) vector_l2_ops);
CREATE INDEX ON t USING ruhnsw ((v::halfvec(8001)) halfvec_l2_ops);
CREATE INDEX ON t USING ruhnsw ((v::vector(2001)) vector_l2_ops) WITH (quantizer = none);
CREATE INDEX ON t USING ruhnsw ((v::vector(3)) vector_l2_ops) WITH (quantizer = pq);
CREATE INDEX ON t USING ruhnsw ((v::vector(3)) vector_l2_ops) WITH (m = 1);
CREATE INDEX ON t USING ruhnsw ((v::vector(3)) vector_l2_ops) WITH (m = 16, ef_construction = 31);
CREATE INDEX ON t USING hnsw ((v::vector(3)) vector_l2_ops) WITH (quantizer = sq8);
CREATE INDEX ON t USING ruhnsw (b);
CREATE INDEX ON t USING ruhnsw (s);
CREATE OPERATOR CLASS bit_ops FOR TYPE bit USING ruhnsw AS OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops, FUNCTION 1 hamming_distance(bit, bit);
CREATE INDEX ON t USING ruhnsw (b bit_ops);
DROP OPERATOR FAMILY bit_ops USING ruhnsw;
SET ruvector.ef_search = 10001;
SET ruvector.oversample = 101;
DROP TABLE t;
