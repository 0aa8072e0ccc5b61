INSERT INTO account SELECT id, 1000 FROM generate_series(1, 10) AS id;
