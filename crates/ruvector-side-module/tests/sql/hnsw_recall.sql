-- Recall of built and of inserted elements, and of what is left after a vacuum.
SELECT setseed(0.5);
CREATE TABLE points (id int, v vector(3));
INSERT INTO points SELECT i, ARRAY[random(), random(), random()] FROM generate_series(1, 10000) i;
CREATE TABLE queries AS SELECT i AS id, ARRAY[random(), random(), random()]::vector(3) AS v FROM generate_series(1, 20) i;

-- As many of the 20 nearest as an exact search finds, of 400.
CREATE FUNCTION found(operator text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    total bigint := 0;
    hits bigint;
    query vector(3);
BEGIN
    FOR query IN SELECT v FROM queries LOOP
        PERFORM set_config('enable_indexscan', 'off', true), set_config('enable_seqscan', 'on', true);
        EXECUTE format('CREATE TEMP TABLE exact ON COMMIT DROP AS SELECT id FROM points ORDER BY v %s $1 LIMIT 20', operator) USING query;
        PERFORM set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true);
        EXECUTE format('SELECT count(*) FROM (SELECT id FROM points ORDER BY v %s $1 LIMIT 20) a JOIN exact USING (id)', operator)
            INTO hits USING query;
        total := total + hits;
        DROP TABLE exact;
    END LOOP;
    RETURN total;
END $$;

CREATE INDEX l2 ON points USING hnsw (v vector_l2_ops);
SELECT found('<->') >= 396 AS good;
SELECT * FROM ruvector_index_check('l2');
DROP INDEX l2;
CREATE INDEX ip ON points USING hnsw (v vector_ip_ops);
SELECT found('<#>') >= 388 AS good;
DROP INDEX ip;
CREATE INDEX cosine ON points USING hnsw (v vector_cosine_ops);
SELECT found('<=>') >= 396 AS good;
DROP INDEX cosine;
CREATE INDEX l1 ON points USING hnsw (v vector_l1_ops);
SELECT found('<+>') >= 396 AS good;
DROP INDEX l1;

-- With too little memory most are inserted into pages.
SET client_min_messages = warning;
SET maintenance_work_mem = '1MB';
CREATE INDEX l2 ON points USING hnsw (v vector_l2_ops);
RESET client_min_messages;
RESET maintenance_work_mem;
SELECT found('<->') >= 396 AS good;
SELECT * FROM ruvector_index_check('l2');

-- Half of them go, and come again.
DELETE FROM points WHERE id % 2 = 0;
VACUUM points;
SELECT found('<->') >= 380 AS good;
SELECT * FROM ruvector_index_check('l2');
SELECT elements, deleted FROM ruvector_index_stats('l2');
CREATE TABLE sizes AS SELECT pg_relation_size('l2') AS size;
INSERT INTO points SELECT i, ARRAY[random(), random(), random()] FROM generate_series(1, 5000) i;
SELECT pg_relation_size('l2') <= size * 1.02 AS reused FROM sizes;
SELECT found('<->') >= 380 AS good;
SELECT * FROM ruvector_index_check('l2');
DELETE FROM points;
VACUUM points;
SELECT count(*) FROM (SELECT * FROM points ORDER BY v <-> '[0,0,0]') p;
INSERT INTO points SELECT i, ARRAY[i, i, i] FROM generate_series(1, 100) i;
SET enable_seqscan = off;
SELECT id FROM points ORDER BY v <-> '[7,7,7]' LIMIT 1;
SELECT * FROM ruvector_index_check('l2');
DROP TABLE points, queries, sizes;
DROP FUNCTION found;
