-- Indexes of ivfflat that several processes build.
\set VERBOSITY terse
-- The temporary files of a sort are not to be told of.
SET log_temp_files = -1;
SELECT setseed(0.25);
SET enable_seqscan = off;
SET max_parallel_maintenance_workers = 2;
CREATE TABLE points (id int PRIMARY KEY, v vector(16));
ALTER TABLE points SET (parallel_workers = 2);
INSERT INTO points SELECT i, ARRAY(SELECT random() + i % 20 FROM generate_series(1, 16)) FROM generate_series(1, 4000) i;
INSERT INTO points SELECT i, NULL FROM generate_series(4001, 4100) i;
SET client_min_messages = debug1;
CREATE INDEX points_v ON points USING ivfflat (v vector_l2_ops) WITH (lists = 20);
RESET client_min_messages;
SELECT recall >= 0.9 AS good FROM ruvector_evaluate_recall('points_v', samples => 40, ef => 5);
SET ivfflat.probes = 20;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 1)) p;
-- The same as one process finds.
SET ivfflat.probes = 2;
CREATE TABLE found AS SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 3) LIMIT 400;
SET max_parallel_maintenance_workers = 0;
REINDEX INDEX points_v;
SELECT count(*) FROM (SELECT id FROM points ORDER BY v <-> (SELECT v FROM points WHERE id = 3) LIMIT 400) p FULL JOIN found USING (id);
SET max_parallel_maintenance_workers = 2;
DROP TABLE found;

-- More than fits into memory; centres of one length; while others use the table.
SET maintenance_work_mem = '1MB';
SET client_min_messages = debug1;
CREATE INDEX CONCURRENTLY points_halfvec ON points USING ivfflat ((v::halfvec(16)) halfvec_cosine_ops) WITH (lists = 10) WHERE id > 1000;
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT indisvalid FROM pg_index WHERE indexrelid = 'points_halfvec'::regclass;
SET ivfflat.probes = 10;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM points WHERE id > 1000 ORDER BY v::halfvec(16) <=> (SELECT v::halfvec(16) FROM points WHERE id = 1)) p;
DROP TABLE points;

-- Nothing to build of, and little.
CREATE TABLE empty (id int, b bit(8));
ALTER TABLE empty SET (parallel_workers = 2);
CREATE INDEX empty_b ON empty USING ivfflat (b bit_hamming_ops) WITH (lists = 3);
INSERT INTO empty SELECT i, i::bit(8) FROM generate_series(1, 50) i;
INSERT INTO empty VALUES (51, NULL);
REINDEX TABLE empty;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM empty ORDER BY b <~> B'00000001') p;
SELECT id FROM empty ORDER BY b <~> B'00010001' LIMIT 1;
DROP TABLE empty;
RESET ivfflat.probes;
RESET max_parallel_maintenance_workers;
RESET enable_seqscan;
