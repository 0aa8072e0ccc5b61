//! What both clients store and look for, and what they have to find.

use std::error::Error;
use std::fmt::{self, Debug};

use pgvector::{Bit, HalfVector, SparseVector, Vector};

/// One that can come out of a task.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The extension and the table.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// An index for each of [`SEARCHES`], and settings that make PostgreSQL use it.
pub(crate) const INDEXES: &str = include_str!("indexes.sql");

/// How many neighbours a search asks for.
pub(crate) const NEIGHBOURS: u8 = 5;
/// What pgvector says to a vector that does not fit in its column.
pub(crate) const FOUR_IN_THREE: &str = "expected 3 dimensions, not 4";

/// Each column by each operator that there is for its type.
pub(crate) const SEARCHES: [(Column, Metric); 14] = [
    (Column::Dense, Metric::L2),
    (Column::Dense, Metric::InnerProduct),
    (Column::Dense, Metric::Cosine),
    (Column::Dense, Metric::L1),
    (Column::Half, Metric::L2),
    (Column::Half, Metric::InnerProduct),
    (Column::Half, Metric::Cosine),
    (Column::Half, Metric::L1),
    (Column::Sparse, Metric::L2),
    (Column::Sparse, Metric::InnerProduct),
    (Column::Sparse, Metric::Cosine),
    (Column::Sparse, Metric::L1),
    (Column::Bits, Metric::Hamming),
    (Column::Bits, Metric::Jaccard),
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Column {
    Dense,
    Half,
    Sparse,
    Bits,
}

impl fmt::Display for Column {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Column::Dense => "dense",
            Column::Half => "half",
            Column::Sparse => "sparse",
            Column::Bits => "bits",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metric {
    L2,
    InnerProduct,
    Cosine,
    L1,
    Hamming,
    Jaccard,
}

impl Metric {
    pub(crate) fn operator(self) -> &'static str {
        match self {
            Metric::L2 => "<->",
            Metric::InnerProduct => "<#>",
            Metric::Cosine => "<=>",
            Metric::L1 => "<+>",
            Metric::Hamming => "<~>",
            Metric::Jaccard => "<%>",
        }
    }

    /// As pgvector's documentation has it; a bit is 0 or 1.
    fn distance(self, a: &[f64], b: &[f64]) -> f64 {
        let sum =
            |of: fn(f64, f64) -> f64| -> f64 { a.iter().zip(b).map(|(a, b)| of(*a, *b)).sum() };
        let product = sum(|a, b| a * b);
        match self {
            Metric::L2 => sum(|a, b| (a - b) * (a - b)).sqrt(),
            Metric::InnerProduct => -product,
            Metric::Cosine => 1.0 - product / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt(),
            Metric::L1 | Metric::Hamming => sum(|a, b| (a - b).abs()),
            Metric::Jaccard if product == 0.0 => 1.0,
            Metric::Jaccard => 1.0 - product / sum(f64::max),
        }
    }
}

/// The name of the index for a search.
pub(crate) fn index_name(column: Column, metric: Metric) -> String {
    let metric = match metric {
        Metric::L2 => "l2",
        Metric::InnerProduct => "inner_product",
        Metric::Cosine => "cosine",
        Metric::L1 => "l1",
        Metric::Hamming => "hamming",
        Metric::Jaccard => "jaccard",
    };
    format!("{column}_{metric}")
}

/// A row of the table, in pgvector's types.
#[derive(Clone, Debug, PartialEq, diesel::Insertable, diesel::Queryable)]
#[diesel(table_name = crate::diesel::item)]
pub(crate) struct Item {
    pub(crate) id: i32,
    pub(crate) dense: Vector,
    pub(crate) half: HalfVector,
    pub(crate) sparse: SparseVector,
    pub(crate) bits: Bit,
}

impl Item {
    fn new(id: i32, dense: [f32; 3], sparse: [f32; 5], bits: u8) -> Item {
        Item {
            id,
            dense: Vector::from(dense.to_vec()),
            half: HalfVector::from_f32_slice(&dense),
            sparse: SparseVector::from_dense(&sparse),
            bits: Bit::new(&[bits & 4 != 0, bits & 2 != 0, bits & 1 != 0]),
        }
    }

    fn numbers(&self, column: Column) -> Vec<f64> {
        match column {
            Column::Dense => self.dense.as_slice().iter().copied().map(f64::from).collect(),
            Column::Half => self.half.as_slice().iter().map(|number| number.to_f64()).collect(),
            Column::Sparse => self.sparse.to_vec().into_iter().map(f64::from).collect(),
            Column::Bits => (0..self.bits.len())
                .map(|n| f64::from(self.bits.as_bytes()[n / 8] >> (7 - n % 8) & 1))
                .collect(),
        }
    }
}

/// 300 rows. All numbers are quarters, which a `halfvec` holds as they are.
pub(crate) fn items() -> Vec<Item> {
    let quarters = |id: u16, factor: u16, modulus: u16| f32::from(id * factor % modulus) / 4.0;
    (1..=300)
        .map(|id| {
            let dense =
                [quarters(id, 7, 31) + 0.25, quarters(id, 11, 29) - 3.0, quarters(id, 13, 23)];
            let mut sparse = [0.0; 5];
            sparse[usize::from(id % 5)] = dense[0];
            sparse[usize::from((id + 2) % 5)] = dense[2];
            // Each pattern once, and then only two that share little with what is looked for.
            let bits = if id < 8 { id as u8 } else { 2 * (id as u8 & 1) };
            Item::new(i32::from(id), dense, sparse, bits)
        })
        .collect()
}

/// What the neighbours are looked for of.
pub(crate) fn wanted() -> Item {
    Item::new(0, [2.0, -1.5, 3.25], [0.0, 4.5, 0.0, -0.5, 2.0], 0b101)
}

/// The columns of the first row in PostgreSQL's words.
pub(crate) fn first_as_text() -> [String; 4] {
    ["[2,-0.25,3.25]", "[2,-0.25,3.25]", "{2:2,4:3.25}/5", "001"].map(String::from)
}

pub(crate) fn check<T: Debug + PartialEq>(
    what: &str,
    found: T,
    expected: T,
) -> Result<(), BoxError> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, and should be {expected:?}").into())
    }
}

/// Checks ids and distances, nearest first, against all distances. Rows with the same distance are alike.
pub(crate) fn check_nearest(
    items: &[Item],
    column: Column,
    metric: Metric,
    found: &[(i32, f64)],
) -> Result<(), BoxError> {
    let wanted = wanted().numbers(column);
    let mut expected: Vec<(i32, f64)> = items
        .iter()
        .map(|item| (item.id, metric.distance(&item.numbers(column), &wanted)))
        .collect();
    let each_is_right = found.iter().all(|(id, distance)| {
        expected.iter().any(|all| all.0 == *id && (all.1 - distance).abs() < 1e-5)
    });
    expected.sort_by(|a, b| a.1.total_cmp(&b.1));
    expected.truncate(NEIGHBOURS.into());
    // By cosine an index compares normalised vectors, and those of halfvec have three digits: rows that are nearly as
    // near as each other can change places, with pgvector too. The distances it returns are of the rows.
    let slack = if (column, metric) == (Column::Half, Metric::Cosine) { 5e-4 } else { 1e-5 };
    let nearest = found.len() == expected.len()
        && found.iter().zip(&expected).all(|(found, all)| (found.1 - all.1).abs() < slack);
    if each_is_right && nearest {
        Ok(())
    } else {
        let operator = metric.operator();
        Err(format!("{column} {operator}: {found:?}, and should be {expected:?}").into())
    }
}

/// A line of what was found.
pub(crate) fn print(column: Column, metric: Metric, found: &[(i32, f64)]) {
    let found: Vec<_> =
        found.iter().map(|(id, distance)| format!("{id} ({distance:.3})")).collect();
    println!("{:>8} {}  {}", column.to_string(), metric.operator(), found.join(", "));
}
