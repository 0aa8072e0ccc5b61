//! PostgreSQL compiled ahead of time for x86-64 Linux (glibc), for `pglite-oxide`.
