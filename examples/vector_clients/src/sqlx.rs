//! With SQLx: an operator is written in SQL, and what is next to it is bound.

use pgvector::{Bit, HalfVector, SparseVector, Vector};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::items::{self, BoxError, Column, Item, Metric, check};

#[tokio::main]
pub(crate) async fn run(url: &str) -> Result<(), BoxError> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(items::SCHEMA).execute(&mut connection).await?;
    let items = items::items();
    insert(&mut connection, &items).await?;
    read(&mut connection, &items).await?;
    refused(&mut connection).await?;

    // Exactly, row by row; then the same with indexes.
    for (column, metric) in items::SEARCHES {
        let found = nearest(&mut connection, column, metric).await?;
        items::check_nearest(&items, column, metric, &found)?;
    }
    sqlx::raw_sql(items::INDEXES).execute(&mut connection).await?;
    for (column, metric) in items::SEARCHES {
        let index = items::index_name(column, metric);
        let mut transaction = connection.begin().await?;
        let found = nearest(&mut transaction, column, metric).await?;
        items::check_nearest(&items, column, metric, &found)?;
        // How often this transaction has used the index.
        let scans: i64 = sqlx::query("SELECT pg_stat_get_xact_numscans($1::regclass)")
            .bind(&index)
            .fetch_one(&mut *transaction)
            .await?
            .try_get(0)?;
        check(&index, scans, 1)?;
        transaction.commit().await?;
        items::print(column, metric, &found);
    }
    connection.close().await?;
    Ok(())
}

/// All rows in one statement, as arrays of pgvector's types.
async fn insert(connection: &mut PgConnection, items: &[Item]) -> Result<(), BoxError> {
    let inserted = sqlx::query(
        "INSERT INTO item SELECT * FROM unnest($1::int[], $2::vector[], $3::halfvec[],
                                               $4::sparsevec[], $5::bit(3)[])",
    )
    .bind(items.iter().map(|item| item.id).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.dense.clone()).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.half.clone()).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.sparse.clone()).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.bits.clone()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    check("rows inserted", inserted.rows_affected(), items.len() as u64)
}

/// Reads back what was written, one average, and the text of one row.
async fn read(connection: &mut PgConnection, items: &[Item]) -> Result<(), BoxError> {
    let rows = sqlx::query("SELECT * FROM item ORDER BY id").fetch_all(&mut *connection).await?;
    let read = rows.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    check("rows read back", read.as_slice(), items)?;
    println!("    {} rows written and read back", read.len());

    let text = sqlx::query(
        "SELECT dense::text, half::text, sparse::text, bits::text FROM item WHERE id = 1",
    )
    .fetch_one(&mut *connection)
    .await?;
    let text = [text.try_get(0)?, text.try_get(1)?, text.try_get(2)?, text.try_get(3)?];
    println!("    the first: {}", text.join(" "));
    check("the first row's text", text, items::first_as_text())?;

    let average: Vector = sqlx::query("SELECT avg(dense) FROM item WHERE id <= 4")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let mean = |n: usize| items[..4].iter().map(|item| item.dense.as_slice()[n]).sum::<f32>() / 4.0;
    println!("    the average of the first four: {average:?}");
    check("average", average.to_vec(), (0..3).map(mean).collect())
}

fn item(row: &PgRow) -> Result<Item, sqlx::Error> {
    Ok(Item {
        id: row.try_get("id")?,
        dense: row.try_get("dense")?,
        half: row.try_get("half")?,
        sparse: row.try_get("sparse")?,
        bits: row.try_get("bits")?,
    })
}

/// Vectors that do not fit, with pgvector's messages.
async fn refused(connection: &mut PgConnection) -> Result<(), BoxError> {
    let sql = "UPDATE item SET dense = $1, half = $2, sparse = $3 WHERE id = 1";
    let four = [1.0, 2.0, 3.0, 4.0];
    for (dense, half, sparse, expected) in [
        (&four[..], &four[..3], &[1.0; 5][..], items::FOUR_IN_THREE),
        (&four[..3], &four[..], &[1.0; 5][..], items::FOUR_IN_THREE),
        (&four[..3], &four[..3], &[1.0; 6][..], "expected 5 dimensions, not 6"),
        (&[], &four[..3], &[1.0; 5][..], "vector must have at least 1 dimension"),
        (&four[..3], &[], &[1.0; 5][..], "halfvec must have at least 1 dimension"),
        (&[f32::NAN; 3][..], &four[..3], &[1.0; 5][..], "NaN not allowed in vector"),
    ] {
        let result = sqlx::query(sql)
            .bind(Vector::from(dense.to_vec()))
            .bind(HalfVector::from_f32_slice(half))
            .bind(SparseVector::from_dense(sparse))
            .execute(&mut *connection)
            .await;
        match result {
            Err(sqlx::Error::Database(error)) => check("error", error.message(), expected)?,
            other => return Err(format!("{other:?}, and should be an error: {expected}").into()),
        }
    }
    Ok(())
}

async fn nearest(
    connection: &mut PgConnection,
    column: Column,
    metric: Metric,
) -> Result<Vec<(i32, f64)>, BoxError> {
    let operator = metric.operator();
    let limit = items::NEIGHBOURS;
    // Column and operator come from this program.
    let query = sqlx::query(AssertSqlSafe(format!(
        "SELECT id, {column} {operator} $1 FROM item ORDER BY {column} {operator} $1 LIMIT {limit}"
    )));
    let wanted = items::wanted();
    let query = match column {
        Column::Dense => query.bind::<Vector>(wanted.dense),
        Column::Half => query.bind::<HalfVector>(wanted.half),
        Column::Sparse => query.bind::<SparseVector>(wanted.sparse),
        Column::Bits => query.bind::<Bit>(wanted.bits),
    };
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
