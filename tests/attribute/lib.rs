//! The attribute `#[pglite_oxide::test]`, used as in a package of its own.
#![cfg(test)]

use std::error::Error;

use pglite_oxide::testing::{AsyncTestParameter, StartResult, TestParameter};
use pglite_oxide::{Pglite, PgliteServer, Session, Snapshot};

fn text(db: &mut Session, sql: &str) -> String {
    let results = db.exec(sql).unwrap();
    results[0].rows()[0].get(0).unwrap_or("NULL").to_owned()
}

const COUNT: &str = "SELECT count(*) FROM account";

fn two_people(db: &mut Pglite) -> Result<(), pglite_oxide::Error> {
    db.execute("INSERT INTO account VALUES (1, 'ada'), (2, 'bob')", &[])?;
    Ok(())
}

#[pglite_oxide::test]
fn a_database(mut db: Pglite) {
    assert_eq!(text(&mut db, "SELECT 1"), "1");
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_class WHERE relname = 'account'"), "0");
}

#[pglite_oxide::test(migrations = "migrations/sqlx")]
fn the_order_of_versions(mut db: Pglite) {
    db.exec("INSERT INTO account VALUES (7, 'own')").unwrap();
    assert_eq!(text(&mut db, COUNT), "1");
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_indexes WHERE tablename = 'transfer'"), "2");
    assert_eq!(text(&mut db, "SHOW search_path"), "\"$user\", public");
}

#[pglite_oxide::test(migrations = "migrations/plain")]
fn the_order_of_names(mut db: Pglite) {
    assert_eq!(text(&mut db, "SELECT words FROM note"), "from a file");
}

/// With what comes before and after the test.
#[pglite_oxide::test(
    migrations = "migrations/sqlx",
    setup = two_people,
    extensions("plpgsql"),
)]
#[cfg(unix)]
fn a_result(mut db: Pglite) -> Result<(), Box<dyn Error>> {
    assert_eq!(db.query_one(COUNT, &[])?.get::<_, i64>(0), 2);
    let url: Result<(), pglite_oxide::Error> = Err(db.exec("SELECT 1/0").unwrap_err());
    assert!(url.is_err());
    Ok(())
}

#[pglite_oxide::test(migrations = "migrations/sqlx", setup = two_people)]
fn copies_are_apart(mut one: Pglite, mut other: Pglite) {
    one.exec("DELETE FROM account").unwrap();
    assert_eq!((text(&mut one, COUNT), text(&mut other, COUNT)), ("0".into(), "2".into()));
}

#[pglite_oxide::test(migrations = "migrations/sqlx", setup = two_people)]
fn a_server(server: PgliteServer) {
    let mut session = server.connect().unwrap();
    assert_eq!(text(&mut session, COUNT), "2");
    assert_eq!(text(&mut session, "SHOW search_path"), "\"$user\", public");
}

#[pglite_oxide::test(migrations = "migrations/sqlx", setup = two_people)]
fn a_url(url: String) -> Result<(), postgres::Error> {
    let mut client = postgres::Client::connect(&url, postgres::NoTls)?;
    assert_eq!(client.query_one(COUNT, &[])?.get::<_, i64>(0), 2);
    Ok(())
}

#[pglite_oxide::test(migrations = "migrations/sqlx", setup = two_people)]
async fn asynchronous(mut db: Pglite, server: PgliteServer, url: String) {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    assert_eq!(text(&mut db, COUNT), "2");
    assert_ne!(server.database_url(), url);
}

#[pglite_oxide::test(migrations = "migrations/sqlx", setup = two_people)]
async fn a_pool(pool: sqlx::PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("DELETE FROM account WHERE id = $1").bind(1).execute(&mut *transaction).await?;
    let count = |pool| async move { sqlx::query_scalar::<_, i64>(COUNT).fetch_one(&pool).await };
    assert_eq!(count(pool.clone()).await?, 2);
    transaction.commit().await?;
    assert_eq!(count(pool.clone()).await?, 1);
    Ok(())
}

#[pglite_oxide::test(migrations = "migrations/sqlx", setup = two_people)]
async fn a_client(client: tokio_postgres::Client) -> Result<(), tokio_postgres::Error> {
    let (count, names) = (client.query_one(COUNT, &[]), client.query("TABLE account", &[]));
    assert_eq!(count.await?.get::<_, i64>(0), 2);
    assert_eq!(names.await?.len(), 2);
    Ok(())
}

#[pglite_oxide::test]
#[should_panic(expected = "division by zero")]
fn a_panic_that_is_expected(mut db: Pglite) {
    db.exec("SELECT 1/0").unwrap();
}

#[pglite_oxide::test]
#[should_panic(expected = "in an async fn")]
async fn an_asynchronous_panic(_db: Pglite) {
    panic!("in an async fn");
}

/// Names of locals in what the attribute writes.
#[pglite_oxide::test]
fn snapshot(mut argument0: Pglite) {
    assert_eq!(text(&mut argument0, "SELECT 1"), "1");
}

mod library {
    pub(crate) use ::pglite_oxide as renamed;
}

#[pglite_oxide::test(crate = library::renamed, setup = crate::empty)]
async fn another_path_to_the_library(_db: Pglite) {}

fn empty(_db: &mut Pglite) -> Result<(), Box<dyn Error>> {
    Ok(())
}

/// A client of one's own.
struct Client(postgres::Client);

impl TestParameter for Client {
    type Guard = PgliteServer;

    fn start(snapshot: &Snapshot) -> StartResult<Client, PgliteServer> {
        let server = snapshot.start_server()?;
        Ok((Client(postgres::Client::connect(&server.database_url(), postgres::NoTls)?), server))
    }
}

#[pglite_oxide::test(migrations = "migrations/plain")]
fn a_type_of_ones_own(mut client: Client) {
    assert_eq!(client.0.query("TABLE note", &[]).unwrap().len(), 1);
}

/// One that cannot be had.
struct Broken;

impl AsyncTestParameter for Broken {
    type Guard = ();

    async fn start_async(_snapshot: &Snapshot) -> StartResult<Broken, ()> {
        Err("there is no such thing".into())
    }
}

/// The attribute, and what a test of it says when it fails.
mod failures {
    #![allow(unnameable_test_items, reason = "so the harness does not run tests that fail")]

    use super::*;

    fn message(test: fn()) -> String {
        let panic = std::panic::catch_unwind(test).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn say_what_is_wrong() {
        #[pglite_oxide::test]
        async fn broken(_thing: Broken) {}

        #[pglite_oxide::test(migrations = "migrations/broken")]
        fn migration(_db: Pglite) {}

        #[pglite_oxide::test(extensions("postgis"))]
        fn extension(_db: Pglite) {}

        assert_eq!(message(broken), "there is no such thing");
        let said = message(migration);
        let expected = "2_second.sql:6 failed\n\
            \x20   4 | CREATE TABLE third (\n\
            \x20   5 |     id int,\n\
            \x20   6 |     other nothing\n\
            \x20     |           ^\n\
            \x20   7 | )";
        assert!(said.contains(expected), "{said}");
        assert!(said.contains("ERROR: type \"nothing\" does not exist (SQLSTATE 42704)"), "{said}");
        let said = message(extension);
        assert!(said.starts_with("the extension postgis cannot be created: ERROR:"), "{said}");
    }

    /// Otherwise it would pass.
    #[test]
    fn are_not_the_panic_that_is_expected() {
        #[pglite_oxide::test(extensions("postgis"))]
        #[should_panic]
        fn extension(_db: Pglite) {}
        extension();
    }
}
