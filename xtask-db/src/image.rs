//! The image of a new temporary database that is packed into the library: made once, so that what every program would
//! do in its first milliseconds is done.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use pglite_oxide::Pglite;

/// What fills the session's caches of the catalogues with what most programs need first: each statement once in the
/// simple and once in the extended protocol, and rolled back.
const WARM_UP: &[&str] = &[
    "SELECT 1",
    "CREATE TABLE warm (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE NOT NULL, \
     price numeric(10, 2) DEFAULT 0 CHECK (price >= 0), at timestamptz DEFAULT now(), data jsonb, tags text[], \
     key uuid DEFAULT gen_random_uuid(), other bigint REFERENCES warm (id))",
    "CREATE INDEX warm_at ON warm (at, name)",
    "INSERT INTO warm (name, price, data, tags) VALUES ('a', 1, '{\"a\": 1}', '{x,y}'), ('b', 2, NULL, NULL)",
    "SELECT w.id, w.name, w.price, w.at, w.data ->> 'a', w.tags[1], w.key FROM warm w LEFT JOIN warm o ON o.id = w.other \
     WHERE w.name = 'a' AND w.id BETWEEN 1 AND 5 AND w.at <= now() ORDER BY w.at DESC LIMIT 10",
    "SELECT count(*), sum(price), avg(price), min(at), max(name) FROM warm GROUP BY tags HAVING count(*) > 0",
    "UPDATE warm SET price = price + 1, name = name || 'x' WHERE id = 1 RETURNING *",
    "INSERT INTO warm (name) VALUES ('b') ON CONFLICT (name) DO UPDATE SET price = excluded.price RETURNING id",
    "SELECT name, row_number() OVER (ORDER BY price) FROM warm WHERE name LIKE 'a%' OR id IN (SELECT id FROM warm)",
    "DELETE FROM warm WHERE id = 2",
    "SELECT to_tsvector('english', 'the quick brown foxes') @@ to_tsquery('english', 'fox')",
    "DO $$ DECLARE n int := 0; BEGIN FOR i IN 1..3 LOOP n := n + i; END LOOP; \
     PERFORM count(*) FROM warm WHERE id = n; EXCEPTION WHEN others THEN RAISE; END $$",
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE n.nspname = 'public' AND a.attnum > 0 ORDER BY c.relname, a.attnum",
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'",
    "SELECT current_database(), current_user, current_schema, version(), current_setting('search_path')",
    "ALTER TABLE warm ADD COLUMN more int",
    "DROP TABLE warm",
];

/// Makes the image and writes it to a file.
pub(crate) fn make(path: &Path) -> Result<ExitCode> {
    let mut db = Pglite::builder().instant_start(false).open()?;
    db.exec("BEGIN")?;
    for statement in WARM_UP {
        db.exec(statement).with_context(|| format!("in {statement}"))?;
    }
    db.exec("ROLLBACK; BEGIN")?;
    for statement in WARM_UP {
        db.query(*statement, &[]).with_context(|| format!("in {statement}"))?;
    }
    db.exec("ROLLBACK")?;
    // The original's statements would be in every copy, where no client knows of them.
    db.exec("DEALLOCATE ALL")?;
    db.exec("CHECKPOINT")?;
    db.snapshot()?.save(path)?;
    Ok(ExitCode::SUCCESS)
}
