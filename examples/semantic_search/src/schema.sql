-- The number is that of the format: of chunks, embeddings and tables. Whoever changes one of them counts it up, and all
-- is indexed anew.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS semantic_search_1;
SET search_path = semantic_search_1, public;

-- PostgreSQL's parser takes what is in < and > for a tag, while in code it is a type; and with the locale C.UTF-8 it
-- takes all signs beyond ASCII for letters. In place of the frequent ones it gets control characters, blanks to it.
CREATE OR REPLACE FUNCTION masked(content text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(content, '<>«»“”„‘’–—…', E'\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19')
$$;
CREATE OR REPLACE FUNCTION unmasked(content text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(content, E'\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19', '<>«»“”„‘’–—…')
$$;

CREATE TABLE IF NOT EXISTS document (
    id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path text NOT NULL UNIQUE,
    hash text NOT NULL
);

CREATE TABLE IF NOT EXISTS chunk (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document   int NOT NULL REFERENCES document ON DELETE CASCADE,
    first_line int NOT NULL,
    last_line  int NOT NULL,
    content    text NOT NULL,
    words      tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', masked(content))) STORED,
    -- Vectors of this size would be stored beside the table, which the planner does not see: reading all of them would
    -- look cheaper than using the index.
    embedding  vector(1024) STORAGE PLAIN NOT NULL
);
CREATE INDEX IF NOT EXISTS chunk_document ON chunk (document);
CREATE INDEX IF NOT EXISTS chunk_words ON chunk USING gin (words);

-- In how many chunks an n-gram is.
CREATE TABLE IF NOT EXISTS document_frequency (
    feature int PRIMARY KEY,
    chunks  int NOT NULL
);

-- PostgreSQL has the operator || for two queries, and no aggregate for many.
CREATE OR REPLACE AGGREGATE any_of (tsquery) (SFUNC = tsquery_or, STYPE = tsquery);
