//! `cargo run --package diesel_todo`: a to-do list that several threads fill and work off with Diesel.

mod schema;

use std::error::Error;
use std::thread;

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use pglite_oxide::{PgliteServer, ShutdownMode};

use schema::task;

/// The files in `migrations/`, as part of this program.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

const THREADS: u32 = 8;
const TASKS_PER_THREAD: u32 = 25;

type PgPool = Pool<ConnectionManager<PgConnection>>;

/// One that can come out of a thread.
type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Insertable)]
#[diesel(table_name = task)]
struct NewTask {
    title: String,
}

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = task, check_for_backend(diesel::pg::Pg))]
struct Task {
    id: i32,
    title: String,
    owner: Option<String>,
}

fn main() -> Result<(), BoxError> {
    let server = PgliteServer::temporary()?;
    let pool = Pool::builder()
        .max_size(THREADS)
        .build(ConnectionManager::<PgConnection>::new(server.database_url()))?;

    let applied = pool.get()?.run_pending_migrations(MIGRATIONS)?.len();
    println!("migrations applied: {applied}");
    assert_eq!(applied, 1);

    insert(&pool)?;
    same_title(&pool)?;
    work_off(&pool)?;

    drop(pool);
    server.shutdown(ShutdownMode::Fast)?;
    Ok(())
}

/// Runs `job` in all threads at once, each with a connection of its own.
fn in_threads<T: Send>(
    pool: &PgPool,
    job: impl Fn(u32, &mut PgConnection) -> Result<T, BoxError> + Sync,
) -> Result<Vec<T>, BoxError> {
    thread::scope(|scope| {
        let job = &job;
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || job(number, &mut *pool.get()?)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

/// Each thread adds tasks: some one by one, some many in one statement.
fn insert(pool: &PgPool) -> Result<(), BoxError> {
    let inserted = in_threads(pool, |thread, connection| {
        let mut tasks = (0..TASKS_PER_THREAD)
            .map(|n| NewTask { title: format!("task {n} of thread {thread}") });
        let mut inserted = 0;
        for task in tasks.by_ref().take(5) {
            inserted += diesel::insert_into(task::table).values(task).execute(connection)?;
        }
        let rest: Vec<_> = tasks.collect();
        inserted += diesel::insert_into(task::table).values(rest).execute(connection)?;
        Ok(inserted)
    })?;
    println!("{THREADS} threads inserted {inserted:?} tasks");
    let count: i64 = task::table.count().get_result(&mut *pool.get()?)?;
    assert_eq!(count, i64::from(THREADS * TASKS_PER_THREAD));
    Ok(())
}

/// All threads insert the same title at once; one of them can.
fn same_title(pool: &PgPool) -> Result<(), BoxError> {
    let won = in_threads(pool, |_, connection| {
        let task = NewTask { title: "unique".into() };
        match diesel::insert_into(task::table).values(task).execute(connection) {
            Ok(_) => Ok(true),
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })?;
    println!("the same title from all threads: {won:?}");
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
    Ok(())
}

/// A queue in a table: each thread takes tasks until none is left, and no task is taken twice.
fn work_off(pool: &PgPool) -> Result<(), BoxError> {
    let taken = in_threads(pool, |thread, connection| {
        let owner = format!("thread {thread}");
        let mut taken = Vec::new();
        while let Some(task) = take(connection, &owner)? {
            assert_eq!(task.owner.as_deref(), Some(owner.as_str()));
            taken.push(task);
        }
        Ok(taken)
    })?;
    let counts: Vec<_> = taken.iter().map(Vec::len).collect();
    println!("tasks taken by each thread: {counts:?}");

    let mut tasks: Vec<_> = taken.into_iter().flatten().collect();
    if let Some(last) = tasks.iter().max_by_key(|task| task.id) {
        println!("the last one: {last:?}");
    }
    tasks.sort_by(|a, b| a.title.cmp(&b.title));
    tasks.dedup_by(|a, b| a.title == b.title);
    assert_eq!(tasks.len(), (THREADS * TASKS_PER_THREAD + 1) as usize);
    Ok(())
}

/// Takes the oldest task that nobody has, passing over those that others are just taking.
fn take(connection: &mut PgConnection, owner: &str) -> QueryResult<Option<Task>> {
    connection.transaction(|connection| {
        let open = task::table
            .filter(task::owner.is_null())
            .order(task::id)
            .select(task::id)
            .for_update()
            .skip_locked()
            .first::<i32>(connection)
            .optional()?;
        open.map(|id| {
            diesel::update(task::table.find(id))
                .set(task::owner.eq(owner))
                .returning(Task::as_returning())
                .get_result(connection)
        })
        .transpose()
    })
}
