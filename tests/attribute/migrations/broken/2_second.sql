-- The comment has a semicolon; it begins no statement.
CREATE TABLE second (id int);

CREATE TABLE third (
    id int,
    other nothing
);
