//! `cargo run --package fork_per_test`: 200 tests, each on a database of its own.
//!
//! Forks of a migrated database are what `#[pglite_oxide::test]` gives to tests. Beside them is what test suites
//! do on one server: `CREATE DATABASE ... TEMPLATE`, a connection, `DROP DATABASE`.

mod costs;

use std::error::Error;
use std::time::Instant;

use pglite_oxide::testing::Template;
use pglite_oxide::{Pglite, PgliteServer, Snapshot};
use postgres::{Client, NoTls, SimpleQueryMessage};

use costs::{Costs, milliseconds};

const TESTS: u32 = 200;
const CUSTOMERS: i32 = 500;
const STOCK: i32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let template = Template::new()
        .migrations(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
        .setup(fixtures);
    let begin = Instant::now();
    let migrated = template.snapshot()?;
    println!("template, made or loaded: {:6.1} ms", milliseconds(begin.elapsed()));
    let begin = Instant::now();
    template.snapshot()?;
    println!("the same once more:       {:6.1} ms\n", milliseconds(begin.elapsed()));

    // The first of each kind pays for what the others share.
    in_forks(&migrated, 1)?;
    in_served_forks(&migrated, 1)?;
    let forks = in_forks(&migrated, TESTS)?;
    let served = in_served_forks(&migrated, TESTS)?;
    let server = migrated.start_server()?;
    in_databases(&server, 1)?;
    let databases = in_databases(&server, TESTS)?;

    println!("{TESTS} tests, milliseconds for each    begin     test      end      all");
    forks.print("fork, session in the process");
    served.print("fork, client over TCP");
    databases.print("CREATE DATABASE, over TCP");

    // Tests leave nothing: neither in the template, nor in the database that was copied.
    for mut session in [migrated.start()?.connect()?, server.connect()?] {
        let row = session.query_one(
            "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM purchase),
                    (SELECT count(*) FROM pg_database WHERE datname LIKE 'test%')",
            &[],
        )?;
        let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(found, (i64::from(CUSTOMERS), 0, 0));
    }
    println!("\nthe template is as it was");
    Ok(())
}

/// What all tests find besides tables.
fn fixtures(db: &mut Pglite) -> Result<(), pglite_oxide::Error> {
    db.execute(
        "INSERT INTO customer (email)
         SELECT 'customer' || i || '@example.org' FROM generate_series(1, $1::int) i",
        &[&CUSTOMERS],
    )?;
    db.execute(
        "INSERT INTO product (name, stock)
         SELECT 'product ' || i, $1::int FROM generate_series(1, 20) i",
        &[&STOCK],
    )?;
    Ok(())
}

/// Runs a statement: its first value, or the SQLSTATE of its error.
type Run<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// One test. It fails in a database that another one has been in, which has bought all there was.
fn test(number: u32, run: Run<'_>) {
    let product = number % 20 + 1;
    let buy = |quantity| {
        format!(
            "INSERT INTO purchase (customer, product, quantity)
             VALUES ({}, {product}, {quantity}) RETURNING id",
            number + 1
        )
    };
    assert_eq!(run(&buy(STOCK)).as_deref(), Ok("1"), "a purchase, the first");
    assert_eq!(run(&buy(1)), Err("23514".into()), "stock >= 0");
    let left = format!("SELECT stock FROM product WHERE id = {product}");
    assert_eq!(run(&left).as_deref(), Ok("0"));
    assert_eq!(run("SELECT count(*) FROM purchase").as_deref(), Ok("1"));
}

fn in_forks(migrated: &Snapshot, tests: u32) -> Result<Costs, Box<dyn Error>> {
    let mut costs = Costs::default();
    for number in 0..tests {
        let begin = Instant::now();
        let mut db = migrated.start()?;
        let started = Instant::now();
        test(number, &mut |sql| match db.exec(sql) {
            Ok(results) => Ok(results[0].rows()[0].get(0).unwrap_or("NULL").to_owned()),
            Err(error) => Err(error.sqlstate().map_or("none", |state| state.code()).to_owned()),
        });
        let tested = Instant::now();
        drop(db);
        costs.add(begin, started, tested);
    }
    Ok(costs)
}

fn in_served_forks(migrated: &Snapshot, tests: u32) -> Result<Costs, Box<dyn Error>> {
    let mut costs = Costs::default();
    for number in 0..tests {
        let begin = Instant::now();
        let server = migrated.start_server()?;
        let mut client = Client::connect(&server.database_url(), NoTls)?;
        let started = Instant::now();
        test(number, &mut |sql| run(&mut client, sql));
        let tested = Instant::now();
        drop((client, server));
        costs.add(begin, started, tested);
    }
    Ok(costs)
}

fn in_databases(server: &PgliteServer, tests: u32) -> Result<Costs, Box<dyn Error>> {
    let mut costs = Costs::default();
    let params = server.connection_params();
    let mut admin = Client::connect(&params.url(), NoTls)?;
    for number in 0..tests {
        let begin = Instant::now();
        // The server was started from the template: its own database is the migrated one.
        admin.batch_execute(&format!("CREATE DATABASE test{number} TEMPLATE postgres"))?;
        let mut config: postgres::Config = params.url().parse()?;
        let mut client = config.dbname(&format!("test{number}")).connect(NoTls)?;
        let started = Instant::now();
        test(number, &mut |sql| run(&mut client, sql));
        let tested = Instant::now();
        drop(client);
        admin.batch_execute(&format!("DROP DATABASE test{number} WITH (FORCE)"))?;
        costs.add(begin, started, tested);
    }
    Ok(costs)
}

fn run(client: &mut Client, sql: &str) -> Result<String, String> {
    let messages = client.simple_query(sql).map_err(|error| {
        error.code().map_or_else(|| error.to_string(), |state| state.code().to_owned())
    })?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or("NULL").to_owned())
}
