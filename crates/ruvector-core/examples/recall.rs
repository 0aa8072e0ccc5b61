//! Recall and speed of the graph on seeded data, against exact search.
//!
//! ```sh
//! cargo run --release -p ruvector-core --example recall -- 50000 128
//! ```

#[path = "../tests/mixture/mod.rs"]
mod mixture;

use std::time::Instant;

use ruvector_core::index::{FlatIndex, HnswIndex, IndexOptions, Metric};

use mixture::Mixture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let count = arguments.next().transpose()?.unwrap_or(50_000);
    let dimensions = arguments.next().transpose()?.unwrap_or(128);
    let centers = arguments.next().transpose()?.unwrap_or(100);
    println!("kernels: {}", ruvector_core::kernels::detect().instruction_set());
    println!("{count} vectors of {dimensions} dimensions around {centers} centres");

    let mut mixture = Mixture::new(dimensions, centers, 7);
    let vectors = mixture.sample(count);
    let queries = mixture.sample(500);
    let mut exact = FlatIndex::new(Metric::L2, dimensions as u32)?;
    let mut index = HnswIndex::new(Metric::L2, dimensions as u32, IndexOptions::default())?;
    for vector in &vectors {
        exact.insert(vector)?;
    }
    let start = Instant::now();
    for vector in &vectors {
        index.insert(vector)?;
    }
    println!("built in {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let truth =
        queries.iter().map(|query| exact.search(query, 10)).collect::<Result<Vec<_>, _>>()?;
    let each = start.elapsed().as_secs_f64() * 1e6 / queries.len() as f64;
    println!("exact: {each:.0} us per query");

    for ef in [10, 20, 40, 64, 80, 160] {
        let start = Instant::now();
        let found = queries
            .iter()
            .map(|query| index.search_with(query, 10, ef, |_| true))
            .collect::<Result<Vec<_>, _>>()?;
        let each = start.elapsed().as_secs_f64() * 1e6 / queries.len() as f64;
        let hit = |(found, truth): (&Vec<_>, &Vec<_>)| -> usize {
            let found: &Vec<ruvector_core::index::Neighbor> = found;
            let truth: &Vec<ruvector_core::index::Neighbor> = truth;
            found.iter().filter(|f| truth.iter().any(|t| t.id == f.id)).count()
        };
        let hits: usize = found.iter().zip(&truth).map(hit).sum();
        let recall = hits as f64 / (10 * queries.len()) as f64;
        println!("ef {ef:3}: recall {recall:.4}, {each:.0} us per query");
    }
    Ok(())
}
