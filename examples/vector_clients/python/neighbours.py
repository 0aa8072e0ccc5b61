#!/usr/bin/env python3
"""What the programs in Rust next door do, with psycopg 3 and pgvector's package for Python, 0.5.

    pip install 'psycopg[binary]' pgvector numpy
    pglite run -- python3 neighbours.py

Run in the environment of `pglite run`, it finds the server by DATABASE_URL. It works in a schema of its own, rolls all
of it back, and ends with an error if anything is not as it should be.
"""

import os
import sys
from importlib.metadata import version

import numpy as np
import psycopg
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector.psycopg import register_vector

ROWS = 300
COLUMNS = {"dense": "vector", "half": "halfvec", "sparse": "sparsevec", "bits": "bit"}
# Each with the end of its operator class, and what pgvector's documentation says that it is.
METRICS = {
    "<->": ("l2_ops", lambda a, b: np.linalg.norm(a - b)),
    "<#>": ("ip_ops", lambda a, b: -np.dot(a, b)),
    "<=>": ("cosine_ops", lambda a, b: 1 - np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)),
    "<+>": ("l1_ops", lambda a, b: np.abs(a - b).sum()),
    "<~>": ("hamming_ops", lambda a, b: np.abs(a - b).sum()),
    "<%>": ("jaccard_ops", lambda a, b: 1 - np.dot(a, b) / max(np.maximum(a, b).sum(), 1)),
}


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, and should be {expected!r}")


def values(row):
    """The columns in pgvector's types. One of type `vector` may be an array of NumPy."""
    dense, sparse, bits = row
    return np.asarray(dense, np.float32), HalfVector(dense), SparseVector(sparse), Bit(bits)


def numbers(row):
    """The columns as arrays, to calculate with."""
    dense, sparse, bits = row
    return dict(zip(COLUMNS, map(np.asarray, (dense, dense, sparse, np.array(bits, float)))))


def rows():
    """All numbers are quarters, which a halfvec holds as they are."""
    for n in range(1, ROWS + 1):
        dense = [n * 7 % 31 / 4 + 0.25, n * 11 % 29 / 4 - 3, n * 13 % 23 / 4]
        sparse = [0.0] * 5
        sparse[n % 5], sparse[(n + 2) % 5] = dense[0], dense[2]
        bits = n if n < 8 else 2 * (n & 1)
        yield dense, sparse, [bool(bits & 4), bool(bits & 2), bool(bits & 1)]


WANTED = ([2.0, -1.5, 3.25], [0.0, 4.5, 0.0, -0.5, 2.0], [True, False, True])


def copy_in(connection, items, binary):
    table = "binary_item" if binary else "item"
    connection.execute(
        f"CREATE TABLE {table} (id int PRIMARY KEY, dense vector(3), half halfvec(3), sparse sparsevec(5), bits bit(3))"
    )
    cursor = connection.cursor()
    with cursor.copy(f"COPY {table} FROM STDIN" + (" WITH (FORMAT BINARY)" if binary else "")) as copy:
        if binary:
            copy.set_types(["int4", *COLUMNS.values()])
        for number, item in enumerate(items, 1):
            copy.write_row([number, *values(item)])
    check("rows copied", cursor.rowcount, len(items))


def read(connection, items, binary):
    cursor = connection.cursor(binary=binary)
    found = cursor.execute("SELECT dense, half, sparse, bits FROM item ORDER BY id").fetchall()
    # pgvector's package writes bits and leaves reading them to the caller.
    bit = Bit.from_binary if binary else Bit.from_text
    for (dense, half, sparse, bits), item in zip(found, items, strict=True):
        expected = values(item)
        check("a row", (dense, half, sparse, bit(bits)), (Vector(expected[0]), *expected[1:]))


def copy_out(connection, items):
    with connection.cursor().copy("COPY (SELECT * FROM item ORDER BY id) TO STDOUT WITH (FORMAT BINARY)") as copy:
        copy.set_types(["int4", *COLUMNS.values()])
        found = list(copy.rows())
    for number, ((id, dense, half, sparse, bits), item) in enumerate(zip(found, items, strict=True), 1):
        expected = values(item)
        row = (id, dense, half, sparse, Bit.from_binary(bits))
        check("a row copied out", row, (number, Vector(expected[0]), *expected[1:]))


def nearest(connection, items, column, operator, binary):
    wanted = dict(zip(COLUMNS, values(WANTED)))[column]
    parameter = "%(wanted)b" if binary else "%(wanted)t"
    distance = f"{column} {operator.replace('%', '%%')} {parameter}"
    found = connection.execute(
        f"SELECT id, {distance} FROM item ORDER BY {distance} LIMIT 5", {"wanted": wanted}, binary=binary
    ).fetchall()
    metric = METRICS[operator][1]
    distances = [metric(numbers(item)[column], numbers(WANTED)[column]) for item in items]
    # By cosine an index compares normalised vectors, and those of halfvec have three digits.
    slack = 5e-4 if (column, operator) == ("half", "<=>") else 1e-5
    for (id, distance), expected in zip(found, sorted(distances)[:5], strict=True):
        if abs(distance - distances[id - 1]) > 1e-5 or abs(distance - expected) > slack:
            sys.exit(f"{column} {operator}: {found}, and should be {sorted(distances)[:5]}")
    return found


def main():
    items = list(rows())
    url = os.environ.get("DATABASE_URL", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("CREATE SCHEMA neighbours")
        connection.execute("SET search_path = neighbours, public")
        register_vector(connection)
        print(f"psycopg {psycopg.__version__}, pgvector {version('pgvector')}")

        copy_in(connection, items, binary=False)
        copy_in(connection, items, binary=True)
        differ = connection.execute(
            "SELECT count(*) FROM item FULL JOIN binary_item b USING (id) WHERE item IS DISTINCT FROM b"
        )
        check("rows that differ", differ.fetchone()[0], 0)
        read(connection, items, binary=False)
        read(connection, items, binary=True)
        copy_out(connection, items)
        print(f"{len(items)} rows copied in as text and in binary, read back as both, copied out in binary")

        operators = list(METRICS)
        searches = [(column, operator) for column in ("dense", "half", "sparse") for operator in operators[:4]]
        searches += [("bits", operator) for operator in operators[4:]]
        for column, operator in searches:
            nearest(connection, items, column, operator, binary=False)
            nearest(connection, items, column, operator, binary=True)
        for setting in ("enable_seqscan = off", "hnsw.ef_search = 100", "ivfflat.probes = 5"):
            connection.execute(f"SET LOCAL {setting}")
        for number, (column, operator) in enumerate(searches):
            method = "ivfflat" if (column, operator) == ("dense", "<=>") else "hnsw"
            options = " WITH (lists = 5)" if method == "ivfflat" else ""
            index = f"item_{number}"
            operator_class = f"{COLUMNS[column]}_{METRICS[operator][0]}"
            connection.execute(f"CREATE INDEX {index} ON item USING {method} ({column} {operator_class}){options}")
            nearest(connection, items, column, operator, binary=False)
            found = nearest(connection, items, column, operator, binary=True)
            scans = connection.execute("SELECT pg_stat_get_xact_numscans(%s::regclass)", [index]).fetchone()[0]
            check(f"scans of the index for {column} {operator}", scans, 2)
            print(f"{column:>8} {operator} {method:8}", ", ".join(f"{id} ({distance:.3f})" for id, distance in found))
        connection.rollback()


if __name__ == "__main__":
    main()
