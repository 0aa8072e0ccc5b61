CREATE TABLE task (
    id    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL UNIQUE,
    owner text -- who has taken it, if anybody
);
