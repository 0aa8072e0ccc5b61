-- ruvector_evaluate_recall
CREATE TABLE items (id int, v vector(3), b bit(64));
INSERT INTO items SELECT i, ARRAY[i % 97, i % 89, i % 83]::vector, (i * 7919)::bit(64) FROM generate_series(1, 3000) i;
CREATE INDEX items_v ON items USING ivfflat (v) WITH (lists = 30);
CREATE INDEX items_c ON items USING ivfflat (v vector_cosine_ops) WITH (lists = 30);
CREATE INDEX items_b ON items USING ivfflat (b bit_hamming_ops) WITH (lists = 30);
CREATE INDEX items_p ON items USING ivfflat ((subvector(v, 1, 2)::vector(2)) vector_l2_ops) WITH (lists = 5) WHERE id <= 300;
CREATE INDEX items_id ON items (id);

SELECT recall, samples, avg_ms > 0 AND p50_ms <= p99_ms AND exact_avg_ms > 0 AS timed FROM ruvector_evaluate_recall('items_v', ef => 30);
SELECT recall, samples FROM ruvector_evaluate_recall('items_c', samples => 20, ef => 30);
SELECT recall, samples FROM ruvector_evaluate_recall('items_b', samples => 20, ef => 30);
SELECT recall, samples FROM ruvector_evaluate_recall('items_p', k => 400, samples => 1000, ef => 5);
SELECT recall < 1 AS lower FROM ruvector_evaluate_recall('items_v', k => 200, ef => 1);
SELECT a.recall = b.recall AS same FROM ruvector_evaluate_recall('items_v', samples => 30, ef => 2, seed => 7) a, ruvector_evaluate_recall('items_v', samples => 30, ef => 2, seed => 7) b;
SHOW ivfflat.probes;
SET ivfflat.probes = 30;
SELECT recall FROM ruvector_evaluate_recall('items_v', samples => 10);
RESET ivfflat.probes;

SELECT * FROM ruvector_evaluate_recall(NULL);
SELECT * FROM ruvector_evaluate_recall('items_v', k => 0);
SELECT * FROM ruvector_evaluate_recall('items_v', k => NULL);
SELECT * FROM ruvector_evaluate_recall('items_v', samples => 0);
SELECT * FROM ruvector_evaluate_recall('items_v', ef => 40000);
SELECT * FROM ruvector_evaluate_recall('items_id');
CREATE ROLE recall_user;
SET ROLE recall_user;
SELECT * FROM ruvector_evaluate_recall('items_v');
RESET ROLE;
GRANT SELECT ON items TO recall_user;
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
SET ROLE recall_user;
SELECT * FROM ruvector_evaluate_recall('items_v');
RESET ROLE;
TRUNCATE items;
SELECT * FROM ruvector_evaluate_recall('items_v');
DROP TABLE items;
DROP ROLE recall_user;
