//! Vectors: our extensions, beside pgvector in the same WebAssembly and natively.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ruvector_core::rng::{Random as _, SplitMix64};

use super::Setup;
use super::client::Client;
use super::native::{NativeData, NativeServer};
use super::rows::{Row, median};
use super::servers::{Server, TEMPORARY, builder};
use crate::paths::Paths;

const SAME: &str = "Vectors, beside pgvector 0.8 compiled to the same WebAssembly";
const NATIVE: &str = "Vectors, beside pgvector 0.8 on native PostgreSQL";
const OURS_NATIVE: &str = "Vectors, our extensions on native PostgreSQL beside pgvector 0.8 there";

/// How near to the truth indexes are compared.
const RECALL: f64 = 0.95;

const NEIGHBOURS: usize = 10;

/// One process, and the index build in memory.
const SETTINGS: &[(&str, &str)] = &[
    ("autovacuum", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("max_parallel_maintenance_workers", "0"),
    ("maintenance_work_mem", "512MB"),
];

/// Whose implementation, and where.
const SIDES: [&str; 4] = ["ours", "pgvector", "ours, native", "pgvector, native"];

/// A server with one implementation, and a session of it.
struct Side {
    name: &'static str,
    client: Client,
    /// Ends when this is dropped.
    _server: Box<Server>,
}

pub(super) fn measure(setup: &Setup, memory: &Path) -> Result<Vec<Row>> {
    let mut sides = start(setup, memory)?;
    let mut rows = Rows::default();
    small(setup, &mut sides, &mut rows)?;
    wide(setup, &mut sides, &mut rows)?;
    graph(setup, &mut sides, &mut rows, &Index::hnsw(128, setup.count(50_000)))?;
    graph(setup, &mut sides, &mut rows, &Index::sq8(setup.count(20_000)))?;
    graph(setup, &mut sides, &mut rows, &Index::rabitq(setup.count(20_000)))?;
    graph(setup, &mut sides, &mut rows, &Index::ivfflat(setup.count(50_000)))?;
    Ok(rows.finish())
}

impl Setup {
    /// As many rows as that in a full measurement.
    fn count(&self, full: usize) -> usize {
        if self.quick { full / 5 } else { full }
    }
}

fn start(setup: &Setup, memory: &Path) -> Result<Vec<Side>> {
    let paths = Paths::find("postgres")?;
    let ours = |reference: bool| -> Result<Server> {
        let mut options = builder(setup);
        for (name, value) in SETTINGS {
            options = options.config(*name, *value);
        }
        if reference {
            options = options.extension_dir(paths.reference_modules()?);
        }
        Ok(Server::Ours(Box::new(options.open().context("the temporary database does not open")?)))
    };
    let native = |paths: Paths, name: &str| -> Result<Server> {
        let data = NativeData::make(&paths, &memory.join(name))?;
        let (server, _): (NativeServer, Client) = data.start(&[TEMPORARY, SETTINGS].concat())?;
        Ok(Server::Native(server))
    };
    let servers = [
        ours(false)?,
        ours(true)?,
        native(paths.with_ruvector()?, "ruvector")?,
        native(paths.with_pgvector()?, "pgvector")?,
    ];
    let mut sides = Vec::new();
    for (name, server) in SIDES.into_iter().zip(servers) {
        let mut client = server.connect()?;
        // Ours and pgvector take turns.
        let ours = sides.len() % 2 == 0;
        let extension = if ours { "ruvector CASCADE" } else { "vector" };
        client.simple(&format!("CREATE EXTENSION {extension}"))?;
        sides.push(Side { name, client, _server: Box::new(server) });
    }
    Ok(sides)
}

/// The rows of three tables.
#[derive(Default)]
struct Rows([Vec<Row>; 3]);

impl Rows {
    /// `values` in the order of [`SIDES`]; the targets are against pgvector here, and natively.
    fn add(&mut self, name: &str, unit: &str, values: [f64; 4], targets: [&str; 2]) {
        let [ours, same, native_ours, native] = values;
        let row = |group, value: f64, other: f64, target: &str| {
            Row::new(group, name, unit, value).beside("pgvector", other).target(target)
        };
        self.0[0].push(row(SAME, ours, same, targets[0]));
        self.0[1].push(row(NATIVE, ours, native, targets[1]));
        self.0[2].push(row(OURS_NATIVE, native_ours, native, ""));
    }

    fn finish(self) -> Vec<Row> {
        self.0.into_iter().flatten().collect()
    }
}

/// Times an action on each side in turn, and has the median of each in milliseconds.
fn times(
    sides: &mut [Side],
    rounds: usize,
    mut action: impl FnMut(&mut Client) -> Result<()>,
) -> Result<[f64; 4]> {
    let mut all = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        for (side, times) in sides.iter_mut().zip(&mut all) {
            let start = Instant::now();
            action(&mut side.client).with_context(|| side.name)?;
            times.push(start.elapsed());
        }
    }
    Ok(all.map(|mut times| millis(median(&mut times))))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Text in, text out, and searches without an index.
fn small(setup: &Setup, sides: &mut [Side], rows: &mut Rows) -> Result<()> {
    let count = setup.count(20_000);
    let data = Mixture::new(128, count, 1);
    let text = data.copy_text();
    let rounds = setup.repeats(9);
    let copy = times(sides, rounds, |client| {
        client.simple(
            "DROP TABLE IF EXISTS small; CREATE TABLE small (id int PRIMARY KEY, v vector(128))",
        )?;
        Ok(())
    })
    .and_then(|_| {
        times(sides, rounds, |client| {
            client.simple("TRUNCATE small")?;
            client.copy_in("COPY small FROM STDIN", text.as_bytes())
        })
    })?;
    rows.add(&format!("COPY of {count} x 128 from text"), "ms", copy, [">= 4x", "<= 1.5x"]);
    let out = times(sides, rounds, |client| {
        client.simple("SELECT sum(length(v::text)) FROM small").map(drop)
    })?;
    rows.add(&format!("{count} x 128 to text"), "ms", out, ["", ""]);
    exact(sides, rows, rounds, "small", 128, count)
}

fn wide(setup: &Setup, sides: &mut [Side], rows: &mut Rows) -> Result<()> {
    let count = setup.count(10_000);
    load(sides, "wide", &Mixture::new(768, count, 2))?;
    exact(sides, rows, setup.repeats(9), "wide", 768, count)
}

/// A table of that name with the vectors.
fn load(sides: &mut [Side], table: &str, data: &Mixture) -> Result<()> {
    let text = data.copy_text();
    for side in sides {
        side.client.simple(&format!(
            "DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (id int PRIMARY KEY, v vector({}))",
            data.dimensions
        ))?;
        side.client.copy_in(&format!("COPY {table} FROM STDIN"), text.as_bytes())?;
        side.client.simple(&format!("VACUUM ANALYZE {table}"))?;
    }
    Ok(())
}

fn exact(
    sides: &mut [Side],
    rows: &mut Rows,
    rounds: usize,
    table: &str,
    dimensions: usize,
    count: usize,
) -> Result<()> {
    for (operator, name) in [("<->", "L2"), ("<=>", "cosine")] {
        let sql = format!(
            "SELECT id FROM {table} ORDER BY v {operator} (SELECT v FROM {table} WHERE id = 7) LIMIT {NEIGHBOURS}"
        );
        let all = times(sides, rounds, |client| client.simple(&sql).map(drop))?;
        let name = format!("exact top {NEIGHBOURS} of {count} x {dimensions}, {name}");
        rows.add(&name, "ms", all, [">= 1.3x", "<= 1.5x"]);
    }
    Ok(())
}

/// An index to be compared, and pgvector's that it is compared with.
struct Index {
    name: &'static str,
    dimensions: usize,
    count: usize,
    ours: &'static str,
    theirs: &'static str,
    /// The setting that makes a search more thorough.
    effort: &'static str,
    steps: &'static [usize],
    targets: Targets,
}

/// Against pgvector in WebAssembly and natively, each.
#[derive(Default)]
struct Targets {
    build: [&'static str; 2],
    queries: [&'static str; 2],
    bytes: [&'static str; 2],
}

const HNSW: &str = "hnsw (v vector_l2_ops)";
const IVFFLAT: &str = "ivfflat (v vector_l2_ops) WITH (lists = 100)";

impl Index {
    fn hnsw(dimensions: usize, count: usize) -> Index {
        Index {
            name: "hnsw",
            dimensions,
            count,
            ours: HNSW,
            theirs: HNSW,
            effort: "hnsw.ef_search",
            steps: &[
                10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 80, 100, 120, 150, 200, 300, 400, 600, 1000,
            ],
            targets: Targets {
                build: [">= 1.3x", "<= 1.5x"],
                queries: [">= 1.2x", ">= 0.7x"],
                ..Targets::default()
            },
        }
    }

    fn sq8(count: usize) -> Index {
        Index {
            name: "ruhnsw, sq8",
            ours: "ruhnsw (v vector_l2_ops) WITH (quantizer = sq8)",
            targets: Targets {
                queries: [">= 1.5x", ">= 1x"],
                bytes: ["<= 0.35x", ""],
                ..Targets::default()
            },
            ..Index::hnsw(768, count)
        }
    }

    fn rabitq(count: usize) -> Index {
        Index {
            name: "ruhnsw, rabitq",
            ours: "ruhnsw (v vector_l2_ops) WITH (quantizer = rabitq)",
            targets: Targets::default(),
            ..Index::hnsw(768, count)
        }
    }

    fn ivfflat(count: usize) -> Index {
        Index {
            name: "ivfflat, 100 lists",
            ours: IVFFLAT,
            theirs: IVFFLAT,
            effort: "ivfflat.probes",
            steps: &[1, 2, 3, 5, 8, 12, 20, 30, 50, 100],
            targets: Targets::default(),
            ..Index::hnsw(128, count)
        }
    }
}

/// Builds the index on each side, and searches it as thoroughly as it needs to find enough.
fn graph(setup: &Setup, sides: &mut [Side], rows: &mut Rows, index: &Index) -> Result<()> {
    let data = Mixture::new(index.dimensions, index.count, 3);
    let queries = data.more(setup.repeats(300), 4);
    let truth = data.nearest(&queries);
    load(sides, "item", &data)?;
    load(sides, "query", &queries)?;
    let (mut build, mut rate, mut bytes, mut recall) = ([0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]);
    for (at, side) in sides.iter_mut().enumerate() {
        let ours = at % 2 == 0;
        let using = if ours { index.ours } else { index.theirs };
        let client = &mut side.client;
        let start = Instant::now();
        client.simple(&format!("CREATE INDEX found ON item USING {using}"))?;
        build[at] = start.elapsed().as_secs_f64();
        bytes[at] = number(client, "SELECT pg_relation_size('found')")? / 1e6;
        let mut searched = None;
        for &step in index.steps {
            client.simple(&format!("SET {} = {step}", index.effort))?;
            recall[at] = found(client, &truth)?;
            if recall[at] >= RECALL {
                searched = Some(step);
                break;
            }
        }
        eprintln!("{}, {}: recall {:.3} at {searched:?}", index.name, side.name, recall[at]);
    }
    // In turns.
    let mut all = [const { Vec::new() }; 4];
    for _ in 0..setup.repeats(9) {
        for (side, times) in sides.iter_mut().zip(&mut all) {
            let start = Instant::now();
            for id in 0..truth.len() {
                side.client.execute("nearest", &[id as i32])?;
            }
            times.push(start.elapsed());
        }
    }
    for (rate, times) in rate.iter_mut().zip(&mut all) {
        *rate = truth.len() as f64 / median(times).as_secs_f64();
    }
    for side in sides.iter_mut() {
        side.client.simple("DEALLOCATE nearest")?;
    }
    let what = format!("{}, {} x {}", index.name, index.count, index.dimensions);
    let targets = &index.targets;
    rows.add(&format!("{what}: build"), "s", build, targets.build);
    let name = format!("{what}: top {NEIGHBOURS} at recall {RECALL}");
    rows.add(&name, "1/s", rate, targets.queries);
    rows.add(&format!("{what}: recall there"), "", recall, [">= 0.95"; 2]);
    rows.add(&format!("{what}: size"), "MB", bytes, targets.bytes);
    Ok(())
}

fn number(client: &mut Client, sql: &str) -> Result<f64> {
    let value = client.simple(sql)?.value.context("no number")?;
    value.parse().with_context(|| format!("{value} is no number"))
}

/// How many of the true neighbours a session finds.
fn found(client: &mut Client, truth: &[Vec<usize>]) -> Result<f64> {
    // The text is that of the array: one value says all.
    client.simple("DEALLOCATE ALL")?;
    client.prepare(
        "nearest",
        &format!(
            "SELECT array_agg(id) FROM (SELECT id FROM item ORDER BY v <-> (SELECT v FROM query WHERE id = $1) \
             LIMIT {NEIGHBOURS}) AS nearest"
        ),
    )?;
    let mut hits = 0;
    for (id, truth) in truth.iter().enumerate() {
        let reply = client.simple(&format!("EXECUTE nearest({id})"))?;
        let text = reply.value.context("no neighbours")?;
        let ids = text.trim_matches(['{', '}']).split(',').filter_map(|id| id.parse().ok());
        hits += ids.filter(|id: &usize| truth.contains(id)).count();
    }
    Ok(hits as f64 / (truth.len() * NEIGHBOURS) as f64)
}

/// Vectors around some centres, always the same.
struct Mixture {
    dimensions: usize,
    values: Vec<f32>,
    centres: Vec<f32>,
}

const CENTRES: usize = 200;
const SPREAD: f32 = 0.5;

impl Mixture {
    fn new(dimensions: usize, count: usize, seed: u64) -> Mixture {
        let mut random = SplitMix64::new(seed);
        let centres = (0..CENTRES * dimensions).map(|_| normal(&mut random)).collect();
        let empty = Mixture { dimensions, values: Vec::new(), centres };
        empty.more(count, seed.wrapping_mul(31))
    }

    /// Others around the same centres.
    fn more(&self, count: usize, seed: u64) -> Mixture {
        let mut random = SplitMix64::new(seed);
        let mut values = Vec::with_capacity(count * self.dimensions);
        for _ in 0..count {
            // Clusters of different size, as those of real data are.
            let share = uniform(&mut random);
            let centre = (share * share * CENTRES as f32) as usize * self.dimensions;
            let centre = &self.centres[centre..centre + self.dimensions];
            values.extend(centre.iter().map(|value| value + SPREAD * normal(&mut random)));
        }
        Mixture { dimensions: self.dimensions, values, centres: self.centres.clone() }
    }

    fn vectors(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dimensions)
    }

    /// Rows of an id and the vector.
    fn copy_text(&self) -> String {
        let mut text = String::new();
        for (id, vector) in self.vectors().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{id}\t[");
            for (at, value) in vector.iter().enumerate() {
                let _ = write!(text, "{}{value}", if at > 0 { "," } else { "" });
            }
            text.push_str("]\n");
        }
        text
    }

    /// Of each query, the nearest of these by L2.
    fn nearest(&self, queries: &Mixture) -> Vec<Vec<usize>> {
        let nearest = |query: &[f32]| {
            let mut all: Vec<(f32, usize)> = self
                .vectors()
                .enumerate()
                .map(|(id, vector)| {
                    let square = |(a, b): (&f32, &f32)| (a - b) * (a - b);
                    (vector.iter().zip(query).map(square).sum(), id)
                })
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all.iter().take(NEIGHBOURS).map(|(_, id)| *id).collect()
        };
        queries.vectors().map(nearest).collect()
    }
}

/// From 0 up to 1.
fn uniform(random: &mut SplitMix64) -> f32 {
    (random.next_u64() >> 40) as f32 / (1u64 << 24) as f32
}

/// Nearly normal: the sum of twelve uniform numbers.
fn normal(random: &mut SplitMix64) -> f32 {
    (0..12).map(|_| uniform(random)).sum::<f32>() - 6.0
}
