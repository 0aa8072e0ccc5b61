CREATE TABLE account (
    id      int PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0)
);

CREATE TABLE transfer (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payer     int NOT NULL REFERENCES account,
    payee     int NOT NULL REFERENCES account,
    amount    bigint NOT NULL CHECK (amount > 0),
    backend   int NOT NULL DEFAULT pg_backend_pid()
);
