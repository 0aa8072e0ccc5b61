//! `cargo run --package tokio_postgres_listen`: notifications, pipelining and cancelling with
//! `tokio-postgres`, over TCP and without any socket.

use std::error::Error;
use std::future::poll_fn;

use futures_util::future::try_join_all;
use pglite_oxide::{PgliteServer, ShutdownMode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_blocking;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Notification};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Starting and stopping block for some milliseconds, which an asynchronous task should not.
    let server = spawn_blocking(PgliteServer::temporary).await??;

    // One client comes over TCP, as one in another program would.
    let (shop, connection) = tokio_postgres::connect(&server.database_url(), NoTls).await?;
    tokio::spawn(connection);
    // The other one has a stream within this process (feature `tokio-postgres` of pglite-oxide).
    let (kitchen, connection) = server.tokio_client().await?;
    let notifications = drive(connection);

    notify(&shop, &kitchen, notifications).await?;
    pipeline(&kitchen).await?;
    cancel(&shop, &kitchen, &server).await?;

    drop((shop, kitchen));
    spawn_blocking(|| server.shutdown(ShutdownMode::Fast)).await??;
    Ok(())
}

/// Drives a connection, as `tokio::spawn(connection)` does, and passes its notifications on.
fn drive<S, T>(mut connection: Connection<S, T>) -> UnboundedReceiver<Notification>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notification(notification)) => {
                    // Nobody may be interested any more; the client still wants its answers.
                    let _ = sender.send(notification);
                }
                Ok(AsyncMessage::Notice(notice)) => println!("notice: {notice}"),
                Ok(_) => {}
                Err(error) => {
                    eprintln!("the connection failed: {error}");
                    break;
                }
            }
        }
    });
    receiver
}

/// One connection listens, the other one inserts rows; a trigger tells.
async fn notify(
    shop: &Client,
    kitchen: &Client,
    mut notifications: UnboundedReceiver<Notification>,
) -> Result<(), Box<dyn Error>> {
    shop.batch_execute(
        "CREATE TABLE dish (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             PERFORM pg_notify('orders', NEW.name);
             RETURN NEW;
         END $$;
         CREATE TRIGGER tell AFTER INSERT ON dish FOR EACH ROW EXECUTE FUNCTION tell()",
    )
    .await?;
    kitchen.batch_execute("LISTEN orders").await?;

    // What is rolled back was never ordered.
    shop.batch_execute("BEGIN; INSERT INTO dish (name) VALUES ('liver'); ROLLBACK").await?;
    // Of equal notifications in one transaction, PostgreSQL sends one.
    shop.batch_execute("INSERT INTO dish (name) VALUES ('soup'), ('soup'), ('bread')").await?;
    shop.execute("INSERT INTO dish (name) VALUES ($1)", &[&"tea"]).await?;

    for expected in ["soup", "bread", "tea"] {
        let notification = notifications.recv().await.ok_or("the connection has ended")?;
        println!(
            "{}: {} (from backend {})",
            notification.channel(),
            notification.payload(),
            notification.process_id()
        );
        assert_eq!((notification.channel(), notification.payload()), ("orders", expected));
    }
    kitchen.batch_execute("UNLISTEN *").await?;
    assert!(notifications.try_recv().is_err(), "there was nothing else");
    Ok(())
}

/// 100 queries in flight on one connection: none waits for the answer to another one.
async fn pipeline(client: &Client) -> Result<(), Box<dyn Error>> {
    let square = client.prepare("SELECT $1::int8 * $1, pg_backend_pid()").await?;
    let numbers: Vec<i64> = (1..=100).collect();
    let rows =
        try_join_all(numbers.iter().map(async |n| client.query_one(&square, &[n]).await)).await?;

    let sum: i64 = rows.iter().map(|row| row.get::<_, i64>(0)).sum();
    println!("sum of the first {} squares, by as many queries at once: {sum}", rows.len());
    assert_eq!(sum, 338_350);
    let backend: i32 = rows[0].get(1);
    assert!(rows.iter().all(|row| row.get::<_, i32>(1) == backend), "one session answers all");
    Ok(())
}

/// Stops a statement on each of the two connections.
async fn cancel(
    shop: &Client,
    kitchen: &Client,
    server: &PgliteServer,
) -> Result<(), Box<dyn Error>> {
    // A cancel request is a connection of its own, made as its client's was: here over TCP,
    let token = shop.cancel_token();
    sleep_until_cancelled(shop, kitchen, async || token.cancel_query(NoTls).await).await?;
    println!("cancelled a statement over TCP");

    // and here by another stream within this process.
    let token = kitchen.cancel_token();
    let stream = server.connect_raw()?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    sleep_until_cancelled(kitchen, shop, async || token.cancel_query_raw(stream, NoTls).await)
        .await?;
    println!("cancelled a statement in this process");
    Ok(())
}

/// Runs a long statement on `client`, cancels it once `observer` sees it run, and checks how it ended.
async fn sleep_until_cancelled(
    client: &Client,
    observer: &Client,
    cancel: impl AsyncFnOnce() -> Result<(), tokio_postgres::Error>,
) -> Result<(), Box<dyn Error>> {
    let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    let cancel_when_asleep = async {
        // A request that comes before the statement would cancel nothing.
        let asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
        while observer.query_opt(asleep, &[&backend]).await?.is_none() {}
        cancel().await
    };
    let sleep = client.batch_execute("SELECT pg_sleep(600)");
    let (slept, cancelled) = tokio::join!(sleep, cancel_when_asleep);
    cancelled?;
    let error = slept.expect_err("it was to sleep for ten minutes");
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    // The connection is as good as before.
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await?;
    assert_eq!(row.get::<_, i32>(0), backend);
    Ok(())
}
