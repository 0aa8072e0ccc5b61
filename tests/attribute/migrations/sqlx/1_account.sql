CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL UNIQUE);
-- A setting of the session, which tests must not see.
SET search_path = '';
