//! Hierarchical navigable small world graphs (Malkov and Yashunin, Efficient and robust approximate nearest neighbor
//! search using Hierarchical Navigable Small World graphs, 2016, arXiv 1603.09320), wherever they are stored.
//!
//! | paper | here |
//! |---|---|
//! | algorithm 1, insert | [`plan`] chooses links, the store writes the element, [`link`] links back |
//! | algorithm 2, search a layer | within [`Scan`] and [`plan`] |
//! | algorithm 4, select neighbours by a heuristic | within [`plan`] and [`link`], with links kept that the heuristic drops |
//! | algorithm 5, search | [`Scan`], which can also go on where it stopped |
//!
//! The graph itself is behind the traits [`Store`] and [`LinkStore`]: pages of a database with their locks, or memory, as
//! [`crate::index::HnswIndex`] has it. All work may fail with the store's own error, and is left off as soon as it does.

mod connect;
pub mod graph;
mod insert;
mod list;
mod scan;
mod select;
pub mod shared;
mod store;
mod visited;

pub use connect::{Lists, connect};
pub use insert::{Plan, Workspace, link, plan, relink};
pub use scan::Scan;
pub use select::{Kept, keep_incrementally};
pub use store::{Candidate, ElementId, EntryPoint, LinkStore, Store, Visit};

use crate::error::{Error, Result};
use crate::math::ln;
use crate::rng::Random;

/// How a graph is built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Links of an element on each layer but the lowest, which has twice as many: from 2 to 100, usually 16.
    pub m: u16,
    /// Candidates for the links of a new element: from 4 to 1000, at least twice `m`, usually 64.
    pub ef_construction: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self { m: 16, ef_construction: 64 }
    }
}

impl Options {
    /// Options with the limits that pgvector has.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    ///
    /// ```
    /// use ruvector_core::hnsw::Options;
    ///
    /// assert_eq!(Options::new(16, 64), Ok(Options::default()));
    /// assert_eq!(
    ///     Options::new(16, 31).unwrap_err().to_string(),
    ///     "ef_construction must be greater than or equal to 2 * m"
    /// );
    /// ```
    pub const fn new(m: u16, ef_construction: u16) -> Result<Self> {
        if m < 2 || m > 100 {
            return Err(Error::InvalidOption { name: "m", allowed: "from 2 to 100" });
        }
        if ef_construction < 4 || ef_construction > 1000 {
            return Err(Error::InvalidOption {
                name: "ef_construction",
                allowed: "from 4 to 1000",
            });
        }
        if ef_construction < 2 * m {
            let allowed = "greater than or equal to 2 * m";
            return Err(Error::InvalidOption { name: "ef_construction", allowed });
        }
        Ok(Self { m, ef_construction })
    }

    /// Most links of an element on a layer.
    pub const fn max_links(&self, layer: u8) -> usize {
        if layer == 0 { 2 * self.m as usize } else { self.m as usize }
    }

    /// Draws the highest layer of a new element: `floor(-ln(u) / ln(m))`, but not above `highest`.
    pub fn random_level(&self, random: &mut impl Random, highest: u8) -> u8 {
        // From above 0 up to 1: the logarithm is finite.
        let uniform = 1.0 - random.next_f64();
        let level = -ln(uniform) / ln(f64::from(self.m.max(2)));
        // The conversion cuts off what is behind the point.
        (level as u8).min(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    #[test]
    fn levels_thin_out_by_m() {
        let mut random = SplitMix64::new(1);
        let options = Options::default();
        let mut counts = [0usize; 4];
        for _ in 0..160_000 {
            counts[options.random_level(&mut random, 3) as usize] += 1;
        }
        assert!((149_000..151_000).contains(&counts[0]), "{counts:?}");
        assert!((8_900..9_900).contains(&counts[1]), "{counts:?}");
        assert!(counts[3] > 10, "{counts:?}");
    }

    #[test]
    fn limits() {
        assert!(Options::new(1, 64).is_err() && Options::new(101, 1000).is_err());
        assert!(Options::new(2, 3).is_err() && Options::new(2, 1001).is_err());
        assert!(Options::new(2, 4).is_ok() && Options::new(100, 200).is_ok());
    }
}
