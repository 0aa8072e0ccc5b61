CREATE EXTENSION vector;

CREATE TABLE item (
    id     int PRIMARY KEY,
    dense  vector(3) NOT NULL,
    half   halfvec(3) NOT NULL,
    sparse sparsevec(5) NOT NULL,
    bits   bit(3) NOT NULL
);
