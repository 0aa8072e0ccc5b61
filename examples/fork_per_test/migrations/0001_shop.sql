CREATE TABLE customer (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email LIKE '%@%')
);

CREATE TABLE product (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    stock int NOT NULL CHECK (stock >= 0)
);

CREATE TABLE purchase (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int NOT NULL REFERENCES customer,
    product int NOT NULL REFERENCES product,
    quantity int NOT NULL CHECK (quantity > 0),
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX purchase_customer ON purchase (customer, at);
