//! `cargo run --package sqlx_pool`: 200 tasks share 20 connections of an SQLx pool.
//!
//! The server is a PostgreSQL inside this process; SQLx connects to it as to any other, by a URL.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use pglite_oxide::{PgliteServer, ShutdownMode};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Row};
use tokio::task::{JoinSet, spawn_blocking};

const CONNECTIONS: u32 = 20;
const TASKS: i64 = 200;
const ACCOUNTS: i64 = 10;

/// One that can come out of a task.
type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Starting and stopping block for some milliseconds, which an asynchronous task should not.
    let server = spawn_blocking(PgliteServer::temporary).await??;
    println!("server: {}", server.database_url());

    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(Duration::from_secs(60))
        .connect(&server.database_url())
        .await?;
    migrate(&pool).await?;
    transfers(&pool).await?;
    exhausted(&pool).await?;

    pool.close().await;
    spawn_blocking(|| server.shutdown(ShutdownMode::Fast)).await??;
    Ok(())
}

/// Brings the schema up to date from `migrations/`. A second run finds nothing to do.
async fn migrate(pool: &PgPool) -> Result<(), BoxError> {
    // With SQLx's feature `macros`, `sqlx::migrate!()` puts the files into the program instead.
    let migrator =
        Migrator::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))).await?;
    migrator.run(pool).await?;
    migrator.run(pool).await?;

    let applied = sqlx::query("SELECT version, description FROM _sqlx_migrations ORDER BY version")
        .fetch_all(pool)
        .await?;
    for row in &applied {
        println!("migration {}: {}", row.get::<i64, _>(0), row.get::<&str, _>(1));
    }
    assert_eq!(applied.len(), 2);
    Ok(())
}

/// Starts all tasks at once. Each takes a connection when one is free.
async fn transfers(pool: &PgPool) -> Result<(), BoxError> {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let pool = pool.clone();
        let payer = task % ACCOUNTS + 1;
        let payee = (task * 7 + 3) % ACCOUNTS + 1;
        // Every tenth asks for more than there is in all accounts together.
        let amount = if task % 10 == 9 { 1_000_000 } else { 1 + task % 5 };
        tasks.spawn(async move {
            let (payer, payee) = (i32::try_from(payer)?, i32::try_from(payee)?);
            transfer(&pool, payer, payee, amount).await
        });
    }
    let (mut done, mut refused) = (0, 0);
    while let Some(outcome) = tasks.join_next().await {
        match outcome?? {
            Outcome::Done => done += 1,
            Outcome::Refused => refused += 1,
        }
    }

    let row = sqlx::query(
        "SELECT (SELECT sum(balance)::bigint FROM account),
                (SELECT count(*) FROM transfer),
                (SELECT count(DISTINCT backend) FROM transfer)",
    )
    .fetch_one(pool)
    .await?;
    let (total, logged, backends): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    println!("{TASKS} tasks: {done} transfers done, {refused} refused, by {backends} connections");
    println!("all accounts together: {total}");
    assert_eq!((done, refused), (180, 20));
    assert_eq!(total, 1000 * ACCOUNTS, "no transfer makes or loses money");
    assert_eq!(logged, done, "a refused transfer leaves nothing");
    assert!((1..=i64::from(CONNECTIONS)).contains(&backends));
    Ok(())
}

enum Outcome {
    Done,
    Refused,
}

/// Moves money between two accounts, or changes nothing.
async fn transfer(pool: &PgPool, payer: i32, payee: i32, amount: i64) -> Result<Outcome, BoxError> {
    // Dropping a transaction, as `?` does, rolls it back.
    let mut tx = pool.begin().await?;
    // Everybody locks in the same order, so that nobody waits for each other. SQLx prepares each of
    // these statements once on each connection and keeps it.
    sqlx::query("SELECT 1 FROM account WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind([payer, payee])
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT INTO transfer (payer, payee, amount) VALUES ($1, $2, $3)")
        .bind(payer)
        .bind(payee)
        .bind(amount)
        .execute(&mut *tx)
        .await?;
    for (account, change) in [(payer, -amount), (payee, amount)] {
        let updated = sqlx::query("UPDATE account SET balance = balance + $2 WHERE id = $1")
            .bind(account)
            .bind(change)
            .execute(&mut *tx)
            .await;
        match updated {
            // The table's CHECK (balance >= 0), in PostgreSQL's words a check_violation.
            Err(sqlx::Error::Database(error)) if error.is_check_violation() => {
                return Ok(Outcome::Refused);
            }
            result => result?,
        };
    }
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Takes all connections, and asks for one more.
async fn exhausted(pool: &PgPool) -> Result<(), BoxError> {
    let mut taken = Vec::new();
    for _ in 0..CONNECTIONS {
        taken.push(pool.acquire().await?);
    }
    assert!(pool.try_acquire().is_none());
    println!("{} connections, {} idle: the pool is exhausted", pool.size(), pool.num_idle());

    // PostgreSQL agrees about how many there are.
    let mut first = taken.swap_remove(0);
    let row = sqlx::query(
        "SELECT count(*), pg_backend_pid() FROM pg_stat_activity
         WHERE backend_type = 'client backend'",
    )
    .fetch_one(&mut *first)
    .await?;
    let (sessions, freed): (i64, i32) = (row.get(0), row.get(1));
    assert_eq!(sessions, i64::from(CONNECTIONS));

    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut connection = pool.acquire().await?;
            connection.ping().await?;
            sqlx::query("SELECT pg_backend_pid()").fetch_one(&mut *connection).await
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "there is no connection to be had");
    drop(first); // gives it back to the pool
    let got: i32 = waiting.await??.get(0);
    println!("the 21st waited, and got the connection that was given back (backend {got})");
    assert_eq!(got, freed);
    Ok(())
}
