-- One for each search of `items.rs`, which goes by the names.
CREATE INDEX dense_l2 ON item USING hnsw (dense vector_l2_ops);
CREATE INDEX dense_inner_product ON item USING hnsw (dense vector_ip_ops);
CREATE INDEX dense_cosine ON item USING ivfflat (dense vector_cosine_ops) WITH (lists = 5);
CREATE INDEX dense_l1 ON item USING hnsw (dense vector_l1_ops) WITH (m = 8, ef_construction = 32);
CREATE INDEX half_l2 ON item USING hnsw (half halfvec_l2_ops);
CREATE INDEX half_inner_product ON item USING hnsw (half halfvec_ip_ops);
CREATE INDEX half_cosine ON item USING hnsw (half halfvec_cosine_ops);
CREATE INDEX half_l1 ON item USING hnsw (half halfvec_l1_ops);
CREATE INDEX sparse_l2 ON item USING hnsw (sparse sparsevec_l2_ops);
CREATE INDEX sparse_inner_product ON item USING hnsw (sparse sparsevec_ip_ops);
CREATE INDEX sparse_cosine ON item USING hnsw (sparse sparsevec_cosine_ops);
CREATE INDEX sparse_l1 ON item USING hnsw (sparse sparsevec_l1_ops);
CREATE INDEX bits_hamming ON item USING hnsw (bits bit_hamming_ops);
CREATE INDEX bits_jaccard ON item USING hnsw (bits bit_jaccard_ops);

-- The table is so small that PostgreSQL would rather read it all.
SET enable_seqscan = off;
SET hnsw.ef_search = 100;
SET ivfflat.probes = 5;
