-- Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): each search gives 1 / (60 + rank), and the sums are
-- compared. So distances and text ranks, which have no common scale, need none.
--
-- $1 the question, $2 its embedding, $3 the number of candidates of each search, $4 the number of answers, $5 the
-- distance from which on a vector is not near
WITH question AS (
    -- One of the words is enough: who asks in a sentence does not expect all of it in a text.
    -- Of stop words only, it is NULL.
    SELECT any_of(plainto_tsquery('simple', lexeme)) AS query
    FROM unnest(to_tsvector('english', masked($1)))
), by_text AS (
    SELECT id, row_number() OVER (ORDER BY ts_rank(words, query) DESC, id) AS rank
    FROM chunk, question
    WHERE words @@ query
    ORDER BY rank
    LIMIT $3
), nearest AS (
    -- In this form, and in no other, the index on `embedding` is used.
    SELECT id, embedding <=> $2::text::vector AS distance
    FROM chunk
    ORDER BY embedding <=> $2::text::vector
    LIMIT $3
), by_vector AS (
    SELECT id, row_number() OVER (ORDER BY distance, id) AS rank
    FROM nearest
    WHERE distance < $5
)
SELECT document.path,
       chunk.first_line,
       chunk.last_line,
       CASE
           WHEN words @@ query THEN
               unmasked(ts_headline(
                   'english', masked(content), query,
                   'StartSel=«, StopSel=», MaxFragments=2, MinWords=8, MaxWords=22'
               ))
           ELSE left(content, 200)
       END AS snippet,
       coalesce(1 / (60 + by_text.rank)::float8, 0) + coalesce(1 / (60 + by_vector.rank)::float8, 0) AS score,
       by_text.rank AS text_rank,
       coalesce(ts_rank(words, query), 0) AS text_score,
       by_vector.rank AS vector_rank,
       embedding <=> $2::text::vector AS distance
FROM by_text
FULL JOIN by_vector USING (id)
JOIN chunk USING (id)
JOIN document ON document.id = chunk.document
CROSS JOIN question
ORDER BY score DESC, chunk.id
LIMIT $4
