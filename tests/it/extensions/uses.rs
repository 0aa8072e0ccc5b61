//! Each packed extension in a use that a program could have for it, as data.

/// An extension in use. What `make` makes is there as long as the database is: in other sessions, in copies, after a
/// restart and after a dump and a restore, where `ask` has the same answer, however often it is run.
pub(super) struct Use {
    pub(super) name: &'static str,
    /// What `CREATE EXTENSION ... CASCADE` brings with it.
    pub(super) requires: &'static str,
    /// Run once in a database. Names are its own, so that all can be in one database.
    pub(super) make: &'static str,
    pub(super) ask: &'static str,
    /// The first column of the first row of the last statement in `ask` that has rows.
    pub(super) answer: &'static str,
}

const fn of(
    name: &'static str,
    make: &'static str,
    ask: &'static str,
    answer: &'static str,
) -> Use {
    Use { name, requires: "", make, ask, answer }
}

/// Those that have to be loaded at the start, with a test of their own.
pub(super) const PRELOADED: &[&str] = &["pg_stat_statements"];

/// All others.
pub(super) const EXTENSIONS: &[Use] = &[
    of(
        "amcheck",
        "CREATE TABLE checked AS SELECT i, md5(i::text) AS words FROM generate_series(1, 1000) i;
         ALTER TABLE checked ADD PRIMARY KEY (i)",
        "SELECT bt_index_check('checked_pkey', true);
         SELECT count(*) FROM verify_heapam('checked')",
        "0",
    ),
    of(
        "autoinc",
        "CREATE SEQUENCE numbered_seq; CREATE TABLE numbered (id int, what text);
         CREATE TRIGGER number BEFORE INSERT ON numbered FOR EACH ROW EXECUTE FUNCTION autoinc(id, numbered_seq);
         INSERT INTO numbered VALUES (0, 'a'), (0, 'b')",
        "INSERT INTO numbered VALUES (0, 'c');
         SELECT min(id) = 1 AND count(DISTINCT id) = count(*) AND max(id) >= 3 FROM numbered",
        "t",
    ),
    of(
        "bloom",
        "CREATE TABLE flowers AS SELECT i % 7 AS a, i % 11 AS b FROM generate_series(1, 1000) i;
         CREATE INDEX ON flowers USING bloom (a, b)",
        "SET enable_seqscan = off; SELECT count(*) FROM flowers WHERE a = 3 AND b = 5",
        "13",
    ),
    of(
        "btree_gin",
        "CREATE TABLE gin_numbers AS SELECT i FROM generate_series(1, 1000) i;
         CREATE INDEX ON gin_numbers USING gin (i)",
        "SET enable_seqscan = off; SELECT count(*) FROM gin_numbers WHERE i < 100",
        "99",
    ),
    of(
        "btree_gist",
        "CREATE TABLE booking (room int, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
         INSERT INTO booking VALUES (1, '[2025-01-01, 2025-01-02)'), (2, '[2025-01-01, 2025-01-02)')",
        "INSERT INTO booking VALUES (1, '[2025-01-01 12:00, 2025-01-03)') ON CONFLICT DO NOTHING;
         SELECT count(*) FROM booking",
        "2",
    ),
    of(
        "citext",
        "CREATE TABLE people (name citext UNIQUE); INSERT INTO people VALUES ('Straße'), ('Ada')",
        "INSERT INTO people VALUES ('ADA') ON CONFLICT DO NOTHING;
         SELECT count(*) FROM people WHERE name IN ('sTRAßE', 'aDA')",
        "2",
    ),
    of(
        "cube",
        "CREATE TABLE boxes AS SELECT i, cube(ARRAY[i, i]::float8[]) AS at FROM generate_series(1, 500) i;
         CREATE INDEX ON boxes USING gist (at)",
        "SET enable_seqscan = off; SELECT i FROM boxes ORDER BY at <-> '(99.2, 99.2)' LIMIT 1",
        "99",
    ),
    of(
        "dblink",
        "",
        "SELECT dblink_connect_u('self', 'host=/tmp dbname=' || current_database() || ' user=postgres');
         SELECT dblink_disconnect('self') || sum(i) FROM dblink('self', 'SELECT generate_series(1, 4)') AS t(i int)",
        "OK10",
    ),
    of(
        "dict_int",
        "CREATE TEXT SEARCH DICTIONARY three_digits (TEMPLATE = intdict_template, MAXLEN = 3)",
        "SELECT ts_lexize('intdict', '12345678')::text || ts_lexize('three_digits', '12345678')::text",
        "{123456}{123}",
    ),
    of(
        "dict_xsyn",
        "CREATE TEXT SEARCH DICTIONARY synonyms
             (TEMPLATE = xsyn_template, RULES = 'xsyn_sample', KEEPORIG = true, MATCHSYNONYMS = true)",
        "SELECT ts_lexize('synonyms', 'sn')",
        "{supernova,sn,sne,1987a}",
    ),
    Use {
        name: "earthdistance",
        requires: "cube",
        make: "CREATE TABLE cities (name text, at earth);
               INSERT INTO cities VALUES ('Berlin', ll_to_earth(52.52, 13.40)), ('Paris', ll_to_earth(48.85, 2.35))",
        ask: "SELECT round(earth_distance(a.at, b.at) / 1000) FROM cities a, cities b WHERE a.name < b.name",
        answer: "879",
    },
    of(
        "file_fdw",
        "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE version (v text) SERVER files OPTIONS (filename '/pgdata/PG_VERSION')",
        "SELECT v FROM version",
        "17",
    ),
    of(
        "fuzzystrmatch",
        "",
        "SELECT levenshtein('kitten', 'sitting') || soundex('Robert') || dmetaphone('Schmidt')
             || daitch_mokotoff('Müller')::text",
        "3R163XMT{689000}",
    ),
    of(
        "hstore",
        "CREATE TABLE maps AS SELECT hstore(ARRAY['n', i::text, 'odd', (i % 2)::text]) AS m FROM generate_series(1, 500) i;
         CREATE INDEX ON maps USING gin (m)",
        "SET enable_seqscan = off; SELECT count(*) || (max(m->'n') FILTER (WHERE m @> 'n=>\"77\"'))
             FROM maps WHERE m @> 'odd=>1'",
        "25077",
    ),
    of(
        "insert_username",
        "CREATE TABLE who (what text, name text);
         CREATE TRIGGER who_name BEFORE INSERT ON who FOR EACH ROW EXECUTE FUNCTION insert_username(name)",
        "INSERT INTO who VALUES ('x'); SELECT string_agg(DISTINCT name, ',') FROM who",
        "postgres",
    ),
    of(
        "intagg",
        "CREATE VIEW aggregated AS SELECT int_array_aggregate(i) FROM generate_series(1, 3) i",
        "SELECT * FROM aggregated",
        "{1,2,3}",
    ),
    of(
        "intarray",
        "CREATE TABLE sets AS SELECT ARRAY[i, i + 1, i + 2] AS s FROM generate_series(1, 500) i;
         CREATE INDEX ON sets USING gin (s gin__int_ops)",
        "SET enable_seqscan = off;
         SELECT count(*) || sort(uniq('{3,1,1,2}'::int[] & '{1,2,3}'::int[]))::text FROM sets WHERE s @@ '10&!12'",
        "2{1,2,3}",
    ),
    of(
        "ip4r",
        "CREATE TABLE networks AS SELECT ('10.' || i || '.0.0/16')::ip4r AS n FROM generate_series(0, 255) i;
         CREATE INDEX ON networks USING gist (n)",
        "SET enable_seqscan = off; SELECT n FROM networks WHERE n >>= '10.77.3.4'",
        "10.77.0.0/16",
    ),
    of(
        "isn",
        "CREATE TABLE books (number isbn PRIMARY KEY); INSERT INTO books VALUES ('978-0-393-04002-9')",
        "SELECT number FROM books WHERE number = '0-393-04002-X'",
        "0-393-04002-X",
    ),
    of(
        "lo",
        "CREATE TABLE image (raster lo);
         CREATE TRIGGER clean BEFORE UPDATE OR DELETE ON image FOR EACH ROW EXECUTE FUNCTION lo_manage(raster);
         INSERT INTO image VALUES (lo_from_bytea(0, 'first')), (lo_from_bytea(0, 'second'));
         DELETE FROM image WHERE lo_get(raster) = 'first'",
        "SELECT count(*) || min(convert_from(lo_get(raster), 'UTF8')) FROM image, pg_largeobject_metadata m
             WHERE m.oid = raster",
        "1second",
    ),
    of(
        "ltree",
        "CREATE TABLE topics AS SELECT ('Top.Science.N' || i)::ltree AS path FROM generate_series(1, 500) i;
         CREATE INDEX ON topics USING gist (path)",
        "SET enable_seqscan = off; SELECT count(*) FROM topics WHERE path <@ 'Top.Science' AND path ~ '*.N7*{1}'",
        "11",
    ),
    of(
        "moddatetime",
        "CREATE TABLE seen (i int, at timestamptz); INSERT INTO seen VALUES (1, '2000-01-01');
         CREATE TRIGGER seen_at BEFORE UPDATE ON seen FOR EACH ROW EXECUTE FUNCTION moddatetime(at)",
        "UPDATE seen SET i = i + 1; SELECT at = now() FROM seen",
        "t",
    ),
    of("pageinspect", "", "SELECT pagesize FROM page_header(get_raw_page('pg_class', 0))", "8192"),
    of(
        "pg_buffercache",
        "CREATE VIEW buffers AS SELECT * FROM pg_buffercache WHERE relfilenode IS NOT NULL",
        "SELECT count(*) > 0 FROM buffers",
        "t",
    ),
    of(
        "pg_freespacemap",
        "CREATE TABLE holes AS SELECT repeat('x', 500) FROM generate_series(1, 1000)",
        "SELECT count(*) > 10 FROM pg_freespace('holes')",
        "t",
    ),
    of(
        "pg_partman",
        "CREATE TABLE parted (at timestamptz NOT NULL) PARTITION BY RANGE (at);
         SELECT public.create_parent('public.parted', 'at', '1 day')",
        "INSERT INTO parted VALUES (now()); SELECT public.run_maintenance('public.parted');
         SELECT (SELECT partition_interval FROM part_config WHERE parent_table = 'public.parted')
             || (count(*) > 3)::text FROM pg_inherits WHERE inhparent = 'parted'::regclass",
        "1 daytrue",
    ),
    of("pg_prewarm", "", "SELECT pg_prewarm('pg_class') > 0", "t"),
    of(
        "pg_surgery",
        "CREATE TABLE frozen AS SELECT 1 AS i",
        "SELECT heap_force_freeze('frozen', ARRAY['(0,1)']::tid[]); SELECT xmin::text || i FROM frozen",
        "21",
    ),
    of(
        "pg_trgm",
        "CREATE TABLE words AS SELECT 'word number ' || i AS w FROM generate_series(1, 500) i;
         CREATE INDEX ON words USING gin (w gin_trgm_ops)",
        "SET enable_seqscan = off;
         SELECT count(*) || ' ' || round(similarity('word', 'two words')::numeric, 2) FROM words WHERE w LIKE '%ber 49%'",
        "11 0.36",
    ),
    of(
        "pg_visibility",
        "CREATE TABLE visible AS SELECT generate_series(1, 100)",
        "SELECT count(*) FROM pg_visibility_map('visible')",
        "1",
    ),
    of(
        "pg_walinspect",
        "",
        "SELECT count(*) > 0 FROM pg_get_wal_records_info(
             (SELECT redo_lsn FROM pg_control_checkpoint()), pg_current_wal_insert_lsn())",
        "t",
    ),
    of(
        "pgcrypto",
        "CREATE TABLE secrets AS SELECT crypt('secret', gen_salt('bf', 4)) AS password,
             pgp_sym_encrypt('hidden', 'key', 'compress-algo=1') AS pgp, encrypt('data', 'k', 'aes') AS aes",
        "SELECT encode(digest('abc', 'sha256'), 'hex') = encode(sha256('abc'), 'hex')
             AND password = crypt('secret', password) AND pgp_sym_decrypt(pgp, 'key') = 'hidden'
             AND convert_from(decrypt(aes, 'k', 'aes'), 'UTF8') = 'data' FROM secrets",
        "t",
    ),
    of(
        "pgrowlocks",
        "CREATE TABLE locked AS SELECT 1 AS i",
        "BEGIN; SELECT FROM locked FOR UPDATE; SELECT modes[1] FROM pgrowlocks('locked'); ROLLBACK",
        "For Update",
    ),
    of(
        "pgstattuple",
        "CREATE TABLE counted AS SELECT generate_series(1, 100)",
        "SELECT tuple_count FROM pgstattuple('counted')",
        "100",
    ),
    of(
        "pgtap",
        "CREATE TABLE tapped (i int PRIMARY KEY)",
        "BEGIN; SELECT plan(1); SELECT col_is_pk('tapped', 'i'); ROLLBACK",
        "ok 1 - Column tapped(i) should be a primary key",
    ),
    of(
        "postgres_fdw",
        "DO $$ BEGIN EXECUTE format('CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host ''/tmp'', dbname %L)', current_database()); END $$;
         CREATE USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (user 'postgres', password_required 'false');
         CREATE FOREIGN TABLE methods (amname name) SERVER self OPTIONS (schema_name 'pg_catalog', table_name 'pg_am')",
        "SELECT count(*) FROM methods WHERE amname = 'heap'",
        "1",
    ),
    of(
        "prefix",
        "CREATE TABLE dialling AS SELECT i::text::prefix_range AS code FROM generate_series(10, 99) i;
         CREATE INDEX ON dialling USING gist (code)",
        "SET enable_seqscan = off; SELECT code FROM dialling WHERE code @> '49301234'",
        "49",
    ),
    of(
        "refint",
        "CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int);
         CREATE TRIGGER fk BEFORE INSERT ON child FOR EACH ROW
             EXECUTE FUNCTION check_primary_key('id', 'parent', 'id');
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)",
        "DO $$ BEGIN INSERT INTO child VALUES (2); RAISE 'no parent was asked for';
             EXCEPTION WHEN triggered_action_exception THEN NULL; END $$;
         SELECT count(*) FROM child",
        "1",
    ),
    of(
        "seg",
        "CREATE TABLE measured AS SELECT i, (i || ' .. ' || i + 0.5)::seg AS s FROM generate_series(1, 500) i;
         CREATE INDEX ON measured USING gist (s)",
        "SET enable_seqscan = off; SELECT i FROM measured WHERE s && '77.2 .. 77.4'",
        "77",
    ),
    of(
        "tablefunc",
        "CREATE TABLE sold (city text, month text, sum int);
         INSERT INTO sold VALUES ('Berlin', 'Jan', 1), ('Berlin', 'Feb', 2), ('Paris', 'Jan', 3)",
        "SELECT string_agg(city || jan || coalesce(feb, 0), ',') FROM
             crosstab('SELECT * FROM sold ORDER BY 1', $$VALUES ('Jan'), ('Feb')$$) AS t(city text, jan int, feb int)",
        "Berlin12,Paris30",
    ),
    of(
        "tcn",
        "CREATE TABLE watched (i int PRIMARY KEY); INSERT INTO watched VALUES (1);
         CREATE TRIGGER tell AFTER UPDATE ON watched FOR EACH ROW
             EXECUTE FUNCTION triggered_change_notification('changed')",
        "LISTEN changed; BEGIN; UPDATE watched SET i = 1; COMMIT; UNLISTEN changed; SELECT count(*) FROM watched",
        "1",
    ),
    of("tsm_system_rows", "", "SELECT count(*) FROM pg_class TABLESAMPLE system_rows(10)", "10"),
    of(
        "tsm_system_time",
        "",
        "SELECT count(*) > 0 FROM pg_class TABLESAMPLE system_time(1000)",
        "t",
    ),
    of(
        "unaccent",
        "CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
         ALTER TEXT SEARCH CONFIGURATION plain ALTER MAPPING FOR hword, hword_part, word WITH unaccent, simple",
        "SELECT unaccent('Hôtel Ærø') || ' ' || to_tsvector('plain', 'Hôtel')::text",
        "Hotel AEro 'hotel':1",
    ),
    of(
        "uuid-ossp",
        "CREATE TABLE keyed (id uuid DEFAULT uuid_generate_v4(), i int); INSERT INTO keyed (i) VALUES (1), (2)",
        "SELECT uuid_generate_v5(uuid_ns_url(), 'http://example.org')::text || count(DISTINCT id) FROM keyed",
        "c57c6902-3774-5f11-80e5-cf09f92b03ac2",
    ),
    of(
        "vector",
        "CREATE TABLE item AS SELECT i, ARRAY[i, i * i % 7, 1]::vector(3) AS v FROM generate_series(1, 500) i;
         CREATE INDEX ON item USING hnsw (v vector_l2_ops)",
        "SET enable_seqscan = off; SELECT i FROM item ORDER BY v <-> '[250, 1, 1]' LIMIT 1",
        "251",
    ),
    // After what it requires. Vectors of the same direction share an element.
    of(
        "ruvector",
        "CREATE TABLE sound AS SELECT i, ARRAY[i, i % 9, i % 4]::vector(3) AS v FROM generate_series(1, 300) i;
         CREATE INDEX sound_index ON sound USING hnsw (v vector_cosine_ops)",
        "SELECT elements || ' ' || dims || ' ' || (SELECT count(*) FROM ruvector_index_check('sound_index'))
             FROM ruvector_index_stats('sound_index')",
        "240 3 0",
    ),
    of(
        "xml2",
        "",
        "SELECT xpath_number('<a><b>4</b><b>5</b></a>', 'sum(/a/b)')::text || xslt_process('<names><n>Ada</n></names>',
             '<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">
                <xsl:output method=\"text\"/>
                <xsl:template match=\"n\">, <xsl:value-of select=\".\"/></xsl:template>
              </xsl:stylesheet>')",
        "9, Ada",
    ),
];
