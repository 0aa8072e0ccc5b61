//! Values of all kinds, there and back.

use std::collections::HashMap;

use pglite_oxide::types::{FromSql, Kind, ToSql, Type};
use pglite_oxide::{Numeric, row_to_json};

#[track_caller]
fn there_and_back<T>(db: &mut pglite_oxide::Session, type_: &str, value: T)
where
    T: ToSql + Sync + PartialEq + std::fmt::Debug + for<'a> FromSql<'a>,
{
    let row = db.query_one(&format!("SELECT $1::{type_}"), &[&value]).expect("a row");
    assert_eq!(row.get::<_, T>(0), value, "{type_}");
}

#[test]
fn plain_values() {
    let mut db = crate::temporary();
    there_and_back(&mut db, "bool", true);
    there_and_back(&mut db, "\"char\"", -1i8);
    there_and_back(&mut db, "int2", i16::MIN);
    there_and_back(&mut db, "int4", i32::MAX);
    there_and_back(&mut db, "int8", i64::MIN);
    there_and_back(&mut db, "oid", u32::MAX);
    there_and_back(&mut db, "float4", f32::MIN_POSITIVE);
    there_and_back(&mut db, "float8", 0.1f64 + 0.2);
    there_and_back(&mut db, "float8", f64::NEG_INFINITY);
    there_and_back(&mut db, "text", "a \u{1f418} and \u{e9}".to_owned());
    there_and_back(&mut db, "bytea", vec![0u8, 255, 1]);
    there_and_back(&mut db, "text", None::<String>);
    there_and_back(&mut db, "inet", "192.168.0.1".parse::<std::net::IpAddr>().expect("good"));
    there_and_back(&mut db, "timestamptz", std::time::UNIX_EPOCH);
    let nan = db.query_one("SELECT 'NaN'::float8, 'NaN'::float4", &[]).expect("a row");
    assert!(nan.get::<_, f64>(0).is_nan() && nan.get::<_, f32>(1).is_nan());
}

#[test]
fn arrays_with_nulls() {
    let mut db = crate::temporary();
    there_and_back(&mut db, "int4[]", vec![Some(1), None, Some(3)]);
    there_and_back(&mut db, "text[]", vec![Some("NULL".to_owned()), None, Some(String::new())]);
    there_and_back(&mut db, "int4[]", Vec::<i32>::new());
    let row = db.query_one("SELECT ARRAY[1, NULL]", &[]).expect("a row");
    assert!(row.try_get::<_, Vec<i32>>(0).is_err());
}

#[test]
fn numerics_are_exact() {
    let mut db = crate::temporary();
    let long = "9".repeat(1000);
    let texts = [
        "0",
        "0.00",
        "1",
        "-1",
        "0.1",
        "0.0001",
        "-0.00001",
        "10000",
        "100000000.0001",
        "12345678901234567890123456789.123456789",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e-300",
        "-9.99e130",
        &long,
    ];
    for text in texts {
        let value: Numeric = text.parse().expect("a numeric");
        let row = db
            .query_one("SELECT $1::numeric, $1::numeric::text, $2::text::numeric", &[&value, &text])
            .expect("a row");
        let shown = row.get::<_, &str>(1);
        assert_eq!(value.to_string(), shown, "{text}");
        assert_eq!(row.get::<_, Numeric>(0).to_string(), shown, "{text}");
        assert_eq!(row.get::<_, Numeric>(2).to_string(), shown, "{text}");
    }
    there_and_back(&mut db, "numeric[]", vec![Some(Numeric::NAN), None, Some(Numeric::from(5))]);
    // Everything PostgreSQL itself makes of random values.
    let rows = db
        .query(
            "SELECT n, n::text FROM generate_series(1, 2000) i,
                    LATERAL (SELECT (random() * 2 - 1)::numeric
                                    * 10::numeric ^ ((i % 60) - 30) AS n) x",
            &[],
        )
        .expect("rows");
    for row in &rows {
        let value: Numeric = row.get(0);
        let text: &str = row.get(1);
        assert_eq!(value.to_string(), text);
        assert_eq!(text.parse::<Numeric>().expect("a numeric"), value);
    }
}

#[test]
fn types_of_ones_own() {
    let mut db = crate::temporary();
    db.exec(
        "CREATE SCHEMA s;
         CREATE TYPE s.mood AS ENUM ('sad', 'it''s ok', 'happy');
         CREATE DOMAIN s.positive AS int CHECK (VALUE > 0);
         CREATE TYPE s.pair AS (left_ s.mood, right_ s.positive[]);
         CREATE TYPE s.span AS RANGE (subtype = float8);
         CREATE TABLE s.t (mood s.mood, moods s.mood[], amount s.positive, pair s.pair,
                           pairs s.pair[], span s.span, spans s.span[]);",
    )
    .expect("types");
    let statement = db.prepare("SELECT * FROM s.t").expect("a statement");
    let columns = statement.columns();
    let mood = columns[0].type_();
    assert_eq!((mood.name(), mood.schema()), ("mood", "s"));
    let labels = ["sad", "it's ok", "happy"].map(str::to_owned).to_vec();
    assert_eq!(mood.kind(), &Kind::Enum(labels));
    assert_eq!(columns[1].type_().kind(), &Kind::Array(mood.clone()));
    let Kind::Composite(fields) = columns[3].type_().kind() else { panic!("{:?}", columns[3]) };
    assert_eq!((fields[0].name(), fields[0].type_()), ("left_", mood));
    let Kind::Array(domain) = fields[1].type_().kind() else { panic!("{fields:?}") };
    assert_eq!(domain.kind(), &Kind::Domain(Type::INT4));
    assert_eq!(columns[4].type_().kind(), &Kind::Array(columns[3].type_().clone()));
    assert_eq!(columns[5].type_().kind(), &Kind::Range(Type::FLOAT8));
    let multirange = db.describe("SELECT s.span_multirange()").expect("a description");
    let multirange = multirange.columns[0].type_().kind().clone();
    assert_eq!(multirange, Kind::Multirange(Type::FLOAT8));
    let table = db.describe("SELECT t FROM s.t").expect("a description");
    assert!(
        matches!(table.columns[0].type_().kind(), Kind::Composite(fields) if fields.len() == 7)
    );
    // A changed type is seen.
    db.exec("ALTER TYPE s.mood ADD VALUE 'ecstatic'").expect("a label more");
    let kind = db.describe("SELECT 'sad'::s.mood").expect("one").columns[0].type_().kind().clone();
    assert!(matches!(kind, Kind::Enum(labels) if labels.len() == 4));
}

/// `aclitem` has no binary form; it is asked for as text, and read as a string.
#[test]
fn types_without_a_binary_form() {
    let mut db = crate::temporary();
    let row = db
        .query_one(
            "SELECT 1 AS a, (acldefault('r', 10))[1] AS item, acldefault('r', 10) AS items, 2 AS b",
            &[],
        )
        .expect("a row");
    assert_eq!((row.get::<_, i32>("a"), row.get::<_, i32>("b")), (1, 2));
    assert_eq!(row.columns()[1].type_(), &Type::ACLITEM);
    assert!(row.get::<_, String>("item").contains('='));
    assert!(row.get::<_, &str>("items").starts_with('{'));
    let tables = db.query("SELECT relname, relacl FROM pg_class", &[]).expect("rows");
    assert!(tables.len() > 100);
}

#[test]
fn every_catalogue_can_be_read() {
    let mut db = crate::temporary();
    let names = db
        .query(
            "SELECT oid::regclass::text FROM pg_class
             WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
               AND has_table_privilege(oid, 'SELECT')",
            &[],
        )
        .expect("names");
    for name in &names {
        let name: &str = name.get(0);
        // These need the server to be set up for them, or hold locks on files.
        let skip = ["pg_hba_file_rules", "pg_ident_file_mappings", "pg_file_settings"];
        if skip.contains(&name) {
            continue;
        }
        let sql = format!("SELECT * FROM {name} LIMIT 50");
        let typed = db.query(&sql, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let json = db.query_json(&sql, &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(typed.len() <= 50 && json.len() <= 50);
    }
}

#[test]
fn json() {
    let mut db = crate::temporary();
    let rows = db
        .query_json(
            "SELECT 9223372036854775807 AS big, 1.10::numeric AS price, 'NaN'::numeric AS nan,
                    '-Infinity'::float8 AS low, 1e300::float8 AS high, true AS yes, NULL AS none,
                    ARRAY[[1, NULL], [3, 4]] AS nested, ARRAY['a\"b', NULL, 'NULL', ''] AS texts,
                    '{\"k\": [1.0]}'::json AS json, '{\"k\":1.00}'::jsonb AS jsonb,
                    'line' || chr(10) || chr(1) AS text, '\\x00ff'::bytea AS bytes,
                    '2024-05-06 07:08:09.5'::timestamp AS at,
                    '2024-05-06 07:08:09+00'::timestamptz AS at_zone, '2024-05-06'::date AS day,
                    1 AS big, 2 AS big_2, 3 AS big, '1 2'::int2vector AS vector",
            &[],
        )
        .expect("a row");
    assert_eq!(
        rows,
        [concat!(
            r#"{"big":9223372036854775807,"price":1.10,"nan":"NaN","low":"-Infinity","#,
            r#""high":1e+300,"yes":true,"none":null,"nested":[[1,null],[3,4]],"#,
            r#""texts":["a\"b",null,"NULL",""],"json":{"k": [1.0]},"jsonb":{"k": 1.00},"#,
            r#""text":"line\n\u0001","bytes":"\\x00ff","at":"2024-05-06T07:08:09.5","#,
            r#""at_zone":"2024-05-06T07:08:09+00:00","day":"2024-05-06","big_3":1,"big_2":2,"#,
            r#""big_4":3,"vector":[1,2]}"#
        )]
    );
    db.exec("CREATE TYPE p AS (a int, b text[]); CREATE DOMAIN d AS numeric").expect("types");
    let rows = db
        .query_json("SELECT ROW(1, ARRAY['x,\"y\"', NULL])::p AS p, ARRAY[ROW(NULL, '{}')::p] AS ps, 1.50::d AS d", &[])
        .expect("a row");
    assert_eq!(rows, [r#"{"p":{"a":1,"b":["x,\"y\"",null]},"ps":[{"a":null,"b":[]}],"d":1.50}"#]);
    let results = db.exec("SELECT 1 AS a, 'x' AS a").expect("a row");
    assert_eq!(row_to_json(&results[0].rows()[0]), r#"{"a":1,"a_2":"x"}"#);
}

/// Our JSON, read back by PostgreSQL itself, is what PostgreSQL makes of the same row.
#[test]
fn json_agrees_with_postgres() {
    let mut db = crate::temporary();
    for source in ["pg_class", "pg_type", "pg_proc", "pg_index", "pg_settings"] {
        let ours = db.query_json(&format!("SELECT * FROM {source}"), &[]).expect("rows");
        for json in ours.iter().take(300) {
            // Types that PostgreSQL shows in JSON as they are in text agree; that covers these.
            let row =
                db.query_one("SELECT $1::text::jsonb IS NOT NULL", &[json]).expect("good JSON");
            assert!(row.get::<_, bool>(0), "{json}");
        }
    }
    let sql = "SELECT i, i / 7.0 AS n, (i / 7.0)::float8 AS f, ARRAY[i, NULL] AS l, now() AS t,
                      'x' || i AS s, i % 2 = 0 AS b FROM generate_series(-50, 50) i";
    for json in db.query_json(sql, &[]).expect("rows") {
        let same = "SELECT $1::text::jsonb - 't' IN (SELECT to_jsonb(x) - 't' FROM (SELECT i,
                        i / 7.0 AS n, (i / 7.0)::float8 AS f, ARRAY[i, NULL] AS l, now() AS t,
                        'x' || i AS s, i % 2 = 0 AS b FROM generate_series(-50, 50) i) x)";
        assert!(db.query_one(same, &[&json]).expect("a row").get::<_, bool>(0), "{json}");
    }
}

#[test]
fn maps_of_parameters() {
    // A slice made at run time, as a query builder would.
    let mut db = crate::temporary();
    let values: HashMap<&str, Box<dyn ToSql + Sync>> =
        HashMap::from([("a", Box::new(1i32) as _), ("b", Box::new("x") as _)]);
    let params: Vec<&(dyn ToSql + Sync)> = vec![&*values["a"], &*values["b"]];
    let row = db.query_one("SELECT $1::int4, $2::text", &params).expect("a row");
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (1, "x"));
}

/// Writes rubbish, and then says that the value is NULL, fails or panics.
#[derive(Debug)]
struct Careless(&'static str);

impl ToSql for Careless {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<pglite_oxide::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(b"rubbish");
        match self.0 {
            "null" => Ok(pglite_oxide::types::IsNull::Yes),
            "error" => Err("no such value".into()),
            _ => panic!("a bad implementation"),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    pglite_oxide::types::to_sql_checked!();
}

#[test]
fn careless_parameters_do_no_harm() {
    let mut db = crate::temporary();
    let sql = "SELECT $1::text IS NULL AND $2::int4 = 5";
    for _ in 0..2 {
        let row = db.query_one(sql, &[&Careless("null"), &5]).expect("a row");
        assert!(row.get::<_, bool>(0));
        let error = db.query_one(sql, &[&Careless("error"), &5]).expect_err("it fails");
        assert!(error.to_string().ends_with("no such value"), "{error}");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            db.query_one(sql, &[&Careless("panic"), &5]).map(drop)
        }));
        assert!(outcome.is_err());
    }
}
