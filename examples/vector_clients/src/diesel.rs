//! With Diesel: columns have pgvector's SQL types, and operators are methods of `VectorExpressionMethods`.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use pgvector::{Vector, VectorExpressionMethods};

use crate::items::{self, BoxError, Column, Item, Metric, check};

diesel::table! {
    item (id) {
        id -> Integer,
        dense -> pgvector::sql_types::Vector,
        half -> pgvector::sql_types::HalfVector,
        sparse -> pgvector::sql_types::SparseVector,
        bits -> pgvector::sql_types::Bit,
    }
}

pub(crate) fn run(url: &str) -> Result<(), BoxError> {
    let mut connection = PgConnection::establish(url)?;
    connection.batch_execute(items::SCHEMA)?;
    let items = items::items();
    let inserted = diesel::insert_into(item::table).values(&items).execute(&mut connection)?;
    check("rows inserted", inserted, items.len())?;
    let read: Vec<Item> = item::table.order(item::id).load(&mut connection)?;
    check("rows read back", &read, &items)?;
    println!("    {} rows written and read back", read.len());
    refused(&mut connection)?;

    // Exactly, row by row; then the same with indexes.
    for (column, metric) in items::SEARCHES {
        let found = nearest(&mut connection, column, metric)?;
        items::check_nearest(&items, column, metric, &found)?;
    }
    connection.batch_execute(items::INDEXES)?;
    for (column, metric) in items::SEARCHES {
        let index = items::index_name(column, metric);
        connection.transaction(|connection| {
            let found = nearest(connection, column, metric)?;
            items::check_nearest(&items, column, metric, &found)?;
            // How often this transaction has used the index.
            let scans = format!("pg_stat_get_xact_numscans('{index}'::regclass)");
            let scans: i64 = diesel::select(sql::<BigInt>(&scans)).get_result(connection)?;
            check(&index, scans, 1)?;
            items::print(column, metric, &found);
            Ok::<_, BoxError>(())
        })?;
    }
    within(&mut connection, &items)
}

/// A vector that does not fit, with pgvector's message.
fn refused(connection: &mut PgConnection) -> Result<(), BoxError> {
    let four = Vector::from(vec![1.0, 2.0, 3.0, 4.0]);
    let result = diesel::update(item::table.find(1)).set(item::dense.eq(four)).execute(connection);
    match result {
        Err(diesel::result::Error::DatabaseError(_, error)) => {
            check("error", error.message(), items::FOUR_IN_THREE)
        }
        other => Err(format!("{other:?}, and should be an error").into()),
    }
}

fn nearest(
    connection: &mut PgConnection,
    column: Column,
    metric: Metric,
) -> Result<Vec<(i32, f64)>, BoxError> {
    use Column::{Bits, Dense, Half, Sparse};
    use Metric::{Cosine, Hamming, InnerProduct, Jaccard, L1, L2};

    // Each is an expression of a type of its own.
    macro_rules! by {
        ($distance:expr) => {
            item::table
                .select((item::id, $distance))
                .order($distance)
                .limit(items::NEIGHBOURS.into())
                .load(connection)?
        };
    }
    let Item { dense, half, sparse, bits, .. } = &items::wanted();
    Ok(match (column, metric) {
        (Dense, L2) => by!(item::dense.l2_distance(dense)),
        (Dense, InnerProduct) => by!(item::dense.max_inner_product(dense)),
        (Dense, Cosine) => by!(item::dense.cosine_distance(dense)),
        (Dense, L1) => by!(item::dense.l1_distance(dense)),
        (Half, L2) => by!(item::half.l2_distance(half)),
        (Half, InnerProduct) => by!(item::half.max_inner_product(half)),
        (Half, Cosine) => by!(item::half.cosine_distance(half)),
        (Half, L1) => by!(item::half.l1_distance(half)),
        (Sparse, L2) => by!(item::sparse.l2_distance(sparse)),
        (Sparse, InnerProduct) => by!(item::sparse.max_inner_product(sparse)),
        (Sparse, Cosine) => by!(item::sparse.cosine_distance(sparse)),
        (Sparse, L1) => by!(item::sparse.l1_distance(sparse)),
        (Bits, Hamming) => by!(item::bits.hamming_distance(bits)),
        (Bits, Jaccard) => by!(item::bits.jaccard_distance(bits)),
        _ => return Err(format!("{column} has no {metric:?}").into()),
    })
}

/// A distance is a number: rows within a radius, with an index in the background.
fn within(connection: &mut PgConnection, items: &[Item]) -> Result<(), BoxError> {
    let wanted = items::wanted().dense;
    let radius = 1.0;
    let found: i64 = item::table
        .filter(item::dense.l2_distance(&wanted).lt(radius))
        .count()
        .get_result(connection)?;
    let expected = items.iter().filter(|item| {
        let pairs = item.dense.as_slice().iter().zip(wanted.as_slice());
        pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt() < 1.0
    });
    println!("    {found} rows are nearer than {radius}");
    check("rows within the radius", usize::try_from(found)?, expected.count())
}
