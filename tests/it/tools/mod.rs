//! The front-end tools: dumps, restores, and programs with any arguments.

mod cancel;
mod errors;
mod formats;
mod options;
mod programs;
mod session;

use pglite_oxide::{Pglite, Session};

/// A bit of everything that can be wrong in a dump.
const EVERYTHING: &str = r#"
CREATE SCHEMA "Odd ""name""";
CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE "Odd ""name"""."Table 1" (
    "Col a" int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 5) PRIMARY KEY,
    "b'c" text DEFAULT E'tab\there', d numeric(12,3), e timestamptz, f bytea, g jsonb, h int[], i mood,
    j positive, k double precision, l text GENERATED ALWAYS AS (upper("b'c")) STORED);
COMMENT ON TABLE "Odd ""name"""."Table 1" IS 'it''s a "table"';
COMMENT ON COLUMN "Odd ""name"""."Table 1"."b'c" IS E'two\nlines';
INSERT INTO "Odd ""name"""."Table 1" ("b'c", d, e, f, g, h, i, j, k) VALUES
    (E'a\\b\nc\td', 1.5, '2026-01-02 03:04:05.678901+02', '\x00ff10', '{"k": [1, null]}', '{1,NULL,3}', 'happy', 1, 'NaN'),
    (NULL, NULL, 'infinity', '', NULL, '{}', NULL, NULL, '-0'),
    (E'\\.', 0.001, '-infinity', '\x5c2e', '"\\u00e4"', '[0:1]={7,8}', 'it''s ok', 2147483647, 1e-300),
    ('äöü €', -999999999.999, 'epoch', NULL, '[]', NULL, 'sad', 7, 'Infinity');
CREATE SEQUENCE counter START 7 INCREMENT 3;
SELECT nextval('counter'), nextval('counter');
CREATE TABLE event (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE event_other PARTITION OF event DEFAULT;
INSERT INTO event SELECT i, date '2025-12-01' + i FROM generate_series(1, 100) i;
CREATE TABLE secret (owner text, words text);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secret USING (owner = current_user);
INSERT INTO secret VALUES ('ada', 'x'), ('bob', 'y');
CREATE TABLE log (line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN INSERT INTO log VALUES ('it''s ' || TG_OP || $$ $$ || NEW.owner); RETURN NEW; END $body$;
CREATE TRIGGER noted AFTER INSERT ON secret FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO secret VALUES ('eve', 'z');
CREATE VIEW recent AS SELECT * FROM event WHERE at > '2026-01-01';
CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS n, max(at) AS last FROM event;
CREATE INDEX ON event (at DESC) INCLUDE (id);
CREATE STATISTICS related (dependencies) ON id, at FROM event;
CREATE RULE quiet AS ON DELETE TO log DO INSTEAD NOTHING;
SELECT lo_from_bytea(4711, decode(repeat('00ff', 5000), 'hex'));
COMMENT ON LARGE OBJECT 4711 IS 'large';
CREATE AGGREGATE product (int) (sfunc = int4mul, stype = int, initcond = '1');
"#;

fn everything() -> Pglite {
    let mut db = Pglite::temporary().unwrap();
    db.exec(EVERYTHING).unwrap();
    db
}

/// What there is, and a checksum of the rows of each table: equal for equal databases.
fn contents(db: &mut Session) -> Vec<String> {
    let mut lines = Vec::new();
    let relations = db
        .query(
            "SELECT format('%I.%I', nspname, relname), relkind::text FROM pg_class c \
             JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1, 2",
            &[],
        )
        .unwrap();
    for relation in &relations {
        let (name, kind): (&str, &str) = (relation.get(0), relation.get(1));
        let rows = match kind {
            "r" | "p" | "m" => format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM {name} t"
            ),
            "S" => format!("SELECT last_value || ' ' || is_called FROM {name}"),
            _ => "SELECT ''".to_owned(),
        };
        lines.push(format!("{kind} {name} {}", crate::text(db, &rows)));
    }
    for (what, sql) in [
        ("view", "SELECT viewname || definition FROM pg_views WHERE schemaname = 'public'"),
        ("policy", "SELECT tablename || policyname || qual FROM pg_policies"),
        ("trigger", "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"),
        (
            "function",
            "SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        ),
        (
            "comment",
            "SELECT classoid::regclass || ' ' || objsubid || description FROM pg_description \
             WHERE objoid >= 16384 OR objoid = 4711",
        ),
        ("index", "SELECT indexdef FROM pg_indexes WHERE schemaname !~ '^(pg_|information)'"),
        ("constraint", "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE oid >= 16384"),
        ("large object", "SELECT oid || md5(lo_get(oid)) FROM pg_largeobject_metadata"),
        ("type", "SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum"),
        (
            "identity",
            "SELECT attname || attidentity::text FROM pg_attribute WHERE attidentity <> ''",
        ),
    ] {
        let sql = format!("SELECT coalesce(x, '') FROM ({sql}) AS t(x) ORDER BY 1");
        for row in db.query(&sql, &[]).unwrap() {
            lines.push(format!("{what} {}", row.get::<_, &str>(0)));
        }
    }
    lines
}

fn assert_same(one: &mut Session, other: &mut Session) {
    let (one, other) = (contents(one), contents(other));
    assert!(one.len() > 1);
    assert_eq!(one, other);
}
