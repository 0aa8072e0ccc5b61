//! `cargo run --package seaorm_todo`: a to-do list with SeaORM, on several connections.

mod task;

use std::error::Error;

use pglite_oxide::{PgliteServer, ShutdownMode};
use sea_orm::prelude::*;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, QueryOrder, QuerySelect, Schema, Set, SqlErr,
    TransactionTrait,
};
use tokio::task::{JoinSet, spawn_blocking};

use task::Entity as Task;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Starting and stopping block for some milliseconds, which an asynchronous task should not.
    let server = spawn_blocking(PgliteServer::temporary).await??;
    let mut options = ConnectOptions::new(server.database_url());
    options.min_connections(2).max_connections(5);
    // A pool of connections, for all tasks.
    let db = Database::connect(options).await?;

    // The table from the entity; a larger program would use SeaORM's migrations.
    db.execute(&Schema::new(db.get_database_backend()).create_table_from_entity(Task)).await?;

    insert(&db).await?;
    update(&db).await?;
    transactions(&db).await?;

    db.close().await?;
    spawn_blocking(|| server.shutdown(ShutdownMode::Fast)).await??;
    Ok(())
}

/// 20 tasks insert a row each, on five connections.
async fn insert(db: &DatabaseConnection) -> Result<(), Box<dyn Error>> {
    let mut tasks = JoinSet::new();
    for number in 1..=20 {
        let db = db.clone(); // the same pool
        tasks.spawn(async move {
            task::ActiveModel {
                title: Set(format!("task {number:02}")),
                done: Set(false),
                ..Default::default()
            }
            .insert(&db)
            .await
        });
    }
    while let Some(inserted) = tasks.join_next().await {
        assert!(inserted??.id > 0, "PostgreSQL gives each row its id");
    }

    let rows = Task::find().order_by_asc(task::Column::Title).all(db).await?;
    println!("inserted {} tasks, from {:?} to {:?}", rows.len(), rows[0].title, rows[19].title);
    assert_eq!(rows.len(), 20);

    // An error says what PostgreSQL objects to.
    let again =
        task::ActiveModel { title: Set("task 07".into()), done: Set(false), ..Default::default() };
    let error = again.insert(db).await.expect_err("titles are unique");
    println!("the same title again: {error}");
    assert!(matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))));
    Ok(())
}

/// One row by its model, and many by a condition.
async fn update(db: &DatabaseConnection) -> Result<(), Box<dyn Error>> {
    let found = Task::find().filter(task::Column::Title.eq("task 07")).one(db).await?;
    let mut seventh: task::ActiveModel = found.ok_or("it was inserted")?.into();
    seventh.done = Set(true);
    let seventh = seventh.update(db).await?;
    println!("updated: {seventh:?}");
    assert!(seventh.done);

    let updated = Task::update_many()
        .col_expr(task::Column::Done, Expr::value(true))
        .filter(task::Column::Title.gt("task 15"))
        .exec(db)
        .await?;
    let open = Task::find().filter(task::Column::Done.eq(false)).count(db).await?;
    println!("{} more done, {open} open", updated.rows_affected);
    assert_eq!((updated.rows_affected, open), (5, 14));
    Ok(())
}

/// What a transaction does is seen by others when it is committed.
async fn transactions(db: &DatabaseConnection) -> Result<(), Box<dyn Error>> {
    let transaction = db.begin().await?;
    let deleted =
        Task::delete_many().filter(task::Column::Done.eq(true)).exec(&transaction).await?;
    let inside = Task::find().count(&transaction).await?;
    let outside = Task::find().count(db).await?; // on another connection
    println!(
        "{} deleted: the transaction sees {inside} tasks, others {outside}",
        deleted.rows_affected
    );
    assert_eq!((deleted.rows_affected, inside, outside), (6, 14, 20));
    transaction.commit().await?;
    assert_eq!(Task::find().count(db).await?, 14);

    // A closure's transaction is rolled back when it returns an error.
    let result = db
        .transaction::<_, (), DbErr>(|transaction| {
            Box::pin(async move {
                Task::delete_many().exec(transaction).await?;
                assert_eq!(Task::find().count(transaction).await?, 0);
                Err(DbErr::Custom("changed our mind".into()))
            })
        })
        .await;
    println!("another transaction: {}", result.expect_err("it returns an error"));
    assert_eq!(Task::find().count(db).await?, 14);

    // `SELECT ... FOR UPDATE`: 20 tasks change the same row, one after the other.
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let db = db.clone();
        tasks.spawn(async move {
            let transaction = db.begin().await?;
            let row = Task::find()
                .order_by_asc(task::Column::Title)
                .lock_exclusive()
                .one(&transaction)
                .await?
                .ok_or(DbErr::RecordNotFound("the first task".into()))?;
            let title = format!("{}!", row.title);
            let mut row: task::ActiveModel = row.into();
            row.title = Set(title);
            row.update(&transaction).await?;
            transaction.commit().await
        });
    }
    while let Some(changed) = tasks.join_next().await {
        changed??;
    }
    let first =
        Task::find().order_by_asc(task::Column::Title).one(db).await?.ok_or("it is there")?;
    println!("changed by 20 transactions: {:?}", first.title);
    assert_eq!(first.title, format!("task 01{}", "!".repeat(20)));
    Ok(())
}
