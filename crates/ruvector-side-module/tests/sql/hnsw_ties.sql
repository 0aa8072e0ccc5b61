-- Thousands of rows that are equally far from each other, or from all others: none may be lost, however full the links are.
SET enable_seqscan = off;
SET hnsw.iterative_scan = relaxed_order;
CREATE TABLE t (id int, v vector(8));
ALTER TABLE t SET (parallel_workers = 2);
INSERT INTO t SELECT i, array_fill(1, ARRAY[8]) FROM generate_series(1, 3000) i;

-- The same vector: ten rows for each element, and all are found.
SET max_parallel_maintenance_workers = 0;
CREATE INDEX i ON t USING hnsw (v vector_l2_ops);
SELECT * FROM ruvector_index_check('i');
SELECT elements, unreachable FROM ruvector_index_stats('i');
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,2]') p;
-- By several processes.
SET max_parallel_maintenance_workers = 2;
REINDEX INDEX i;
SELECT * FROM ruvector_index_check('i');
SELECT elements <= 350 AS few, unreachable FROM ruvector_index_stats('i');
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,2]') p;
-- Row by row.
TRUNCATE t;
INSERT INTO t SELECT i, array_fill(1, ARRAY[8]) FROM generate_series(1, 1000) i;
SELECT * FROM ruvector_index_check('i');
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,2]') p;
DROP INDEX i;

-- Beside others, and with some whose distance is more than there are numbers for.
SELECT setseed(0.1);
INSERT INTO t SELECT i, array_agg(random()) FROM generate_series(1, 2000) i, generate_series(1, 8) d GROUP BY i;
INSERT INTO t SELECT i, array_agg(1e30 * (random() - 0.5)) FROM generate_series(1, 300) i, generate_series(1, 8) d GROUP BY i;
CREATE INDEX l2 ON t USING hnsw (v vector_l2_ops);
CREATE INDEX ip ON t USING hnsw (v vector_ip_ops);
CREATE INDEX l1 ON t USING hnsw (v vector_l1_ops);
CREATE INDEX cosine ON t USING hnsw (v vector_cosine_ops);
CREATE INDEX bytes ON t USING ruhnsw (v vector_l2_ops);
CREATE INDEX halves ON t USING ruhnsw (v vector_l2_ops) WITH (quantizer = f16);
CREATE INDEX bits ON t USING ruhnsw (v vector_l2_ops) WITH (quantizer = rabitq);
SELECT relname, c FROM pg_class, ruvector_index_check(oid) c WHERE relname IN ('l2', 'ip', 'l1', 'cosine', 'bytes', 'halves', 'bits');
SET max_parallel_maintenance_workers = 0;
REINDEX TABLE t;
SELECT relname, c FROM pg_class, ruvector_index_check(oid) c WHERE relname IN ('l2', 'ip', 'l1', 'cosine', 'bytes', 'halves', 'bits');
DROP TABLE t;
