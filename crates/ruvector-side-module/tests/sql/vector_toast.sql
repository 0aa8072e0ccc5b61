-- Vectors that are stored out of line are read one behind the other where a table is read from its beginning to its end.
-- Each has to be the one that its row has, whatever has happened to the table.
CREATE FUNCTION wanted(id int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT ARRAY(SELECT (id * 31 + d * 7) % 1000 FROM generate_series(1, dims) d)::vector $$;
CREATE TABLE t (id int PRIMARY KEY, v vector, w halfvec);
ALTER TABLE t SET (autovacuum_enabled = off);
INSERT INTO t SELECT i, wanted(i, 768), wanted(i + 1, 3000)::halfvec FROM generate_series(1, 100) i;
CREATE VIEW wrong AS SELECT id FROM t WHERE v <> wanted(id, vector_dims(v)) OR w <> wanted(id + 1, vector_dims(w))::halfvec;
SET enable_indexscan = off;
SELECT count(*) FROM wrong;
SELECT count(*) FROM t WHERE v <> wanted(id, 768);
SELECT round(sum(v <-> (SELECT v FROM t WHERE id = 50))) = round(sum(v <-> wanted(50, 768))) AS same FROM t;

-- Lengths that end with a piece, or with the first byte of one; what is short enough to stay in its row; and none.
INSERT INTO t SELECT i, wanted(i, 600 + i * 3 % 1000), wanted(i + 1, i)::halfvec FROM generate_series(101, 300) i;
INSERT INTO t SELECT 1000 + i, wanted(1000 + i, 996 + i), NULL FROM generate_series(1, 4) i;
SELECT count(*) FROM wrong;

-- Rows that go, and others in their places.
DELETE FROM t WHERE id % 3 = 0;
SELECT count(*) FROM wrong;
VACUUM t;
INSERT INTO t SELECT i, wanted(i, 900), wanted(i + 1, 2000)::halfvec FROM generate_series(401, 500) i;
UPDATE t SET v = wanted(id, 1200) WHERE id % 5 = 0;
SELECT count(*) FROM wrong;
SELECT id FROM (SELECT * FROM t WHERE vector_dims(v) = 900) p ORDER BY v <-> wanted(446, 900), id LIMIT 1;
SELECT id FROM (SELECT * FROM t WHERE vector_dims(v) = 900) p ORDER BY v <-> (SELECT v FROM t WHERE id = 446), id LIMIT 1;

-- What was never committed.
BEGIN;
INSERT INTO t SELECT i, wanted(i, 900), NULL FROM generate_series(601, 620) i;
SAVEPOINT s;
INSERT INTO t SELECT i, wanted(i + 1, 900), NULL FROM generate_series(621, 640) i;
UPDATE t SET v = wanted(id + 1, 900) WHERE id BETWEEN 601 AND 640;
SELECT count(*) AS those_40 FROM wrong;
ROLLBACK TO s;
INSERT INTO t SELECT i, wanted(i, 900), NULL FROM generate_series(621, 640) i;
SELECT count(*) FROM wrong;
ROLLBACK;
INSERT INTO t SELECT i, wanted(i, 900), NULL FROM generate_series(601, 640) i;
SELECT count(*) FROM wrong;

-- Another order, another file, compression, a cursor beside another query, a temporary table, an empty one.
SELECT count(*) FROM (SELECT * FROM t ORDER BY id DESC OFFSET 0) p WHERE v <> wanted(id, vector_dims(v));
VACUUM FULL t;
SELECT count(*) FROM wrong;
ALTER TABLE t ALTER v SET STORAGE EXTENDED;
UPDATE t SET v = v + array_fill(0, ARRAY[vector_dims(v)])::vector WHERE id % 2 = 0;
SELECT count(*) FROM wrong;
BEGIN;
DECLARE c CURSOR FOR SELECT id, v = wanted(id, vector_dims(v)) AS good FROM t;
FETCH 3 FROM c;
SELECT count(*) FROM wrong;
FETCH 3 FROM c;
COMMIT;
TRUNCATE t;
CREATE TEMPORARY TABLE p AS SELECT i AS id, wanted(i, 768) AS v FROM generate_series(1, 50) i;
SELECT count(*) FROM p WHERE v <> wanted(id, 768);
INSERT INTO t SELECT id, v, NULL FROM p;
SELECT count(*) FROM wrong;
DROP VIEW wrong;
DROP TABLE t, p;
DROP FUNCTION wanted;
