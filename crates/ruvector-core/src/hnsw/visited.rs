//! The elements that a search has come by.

use alloc::vec::Vec;

use super::store::ElementId;
use crate::error::{Error, Result};

const EMPTY: u64 = u64::MAX;

/// A set of elements: bits if their names are small numbers, else a table.
#[derive(Clone, Debug)]
pub(super) enum Visited {
    Bits(Vec<u64>),
    /// Open addressing; a power of two of places, of which at most half are taken.
    Table {
        places: Vec<u64>,
        taken: usize,
    },
}

impl Visited {
    /// An empty set, with room for about `expected`.
    pub(super) fn new(bound: Option<u64>, expected: usize) -> Result<Self> {
        if let Some(bound) = bound {
            let words = usize::try_from(bound.div_ceil(64)).map_err(|_| Error::OutOfMemory)?;
            return Ok(Self::Bits(filled(words, 0)?));
        }
        let places = expected.max(32).checked_mul(2).and_then(usize::checked_next_power_of_two);
        Ok(Self::Table { places: filled(places.ok_or(Error::OutOfMemory)?, EMPTY)?, taken: 0 })
    }

    /// Forgets all, and makes sure that it fits a store's names again.
    pub(super) fn reset(&mut self, bound: Option<u64>, expected: usize) -> Result<()> {
        match (&mut *self, bound) {
            (Self::Bits(words), Some(bound)) if words.len() as u64 == bound.div_ceil(64) => {
                words.fill(0);
            }
            (Self::Table { places, taken }, None) if places.len() >= 2 * expected => {
                places.fill(EMPTY);
                *taken = 0;
            }
            _ => *self = Self::new(bound, expected)?,
        }
        Ok(())
    }

    /// Adds an element. Was it new?
    pub(super) fn insert(&mut self, element: ElementId) -> Result<bool> {
        match self {
            Self::Bits(words) => {
                let word = usize::try_from(element.0 / 64).ok().and_then(|at| words.get_mut(at));
                // Beyond what the store said: as good as gone.
                let Some(word) = word else { return Ok(false) };
                let bit = 1 << (element.0 % 64);
                let new = *word & bit == 0;
                *word |= bit;
                Ok(new)
            }
            Self::Table { places, taken } => {
                if element.0 == EMPTY {
                    return Ok(false);
                }
                if 2 * (*taken + 1) > places.len() {
                    let size = places.len().checked_mul(2).ok_or(Error::OutOfMemory)?;
                    let old = core::mem::replace(places, filled(size, EMPTY)?);
                    for element in old.into_iter().filter(|&element| element != EMPTY) {
                        put(places, element);
                    }
                }
                let new = put(places, element.0);
                *taken += usize::from(new);
                Ok(new)
            }
        }
    }

    /// Bytes it takes.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Bits(words) => words.len() * 8,
            Self::Table { places, .. } => places.len() * 8,
        }
    }
}

fn filled(count: usize, value: u64) -> Result<Vec<u64>> {
    let mut words = Vec::new();
    words.try_reserve_exact(count)?;
    words.resize(count, value);
    Ok(words)
}

/// Puts an element into a table that has room. Was it new?
fn put(places: &mut [u64], element: u64) -> bool {
    let mask = places.len() - 1;
    // The golden ratio spreads names that follow each other; the upper bits are the best.
    let hash = element.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut place = (hash >> 32) as usize & mask;
    loop {
        match places[place] {
            EMPTY => {
                places[place] = element;
                return true;
            }
            there if there == element => return false,
            _ => place = (place + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets(elements in proptest::collection::vec(0u64..500, 0..400), wide: u64) {
            for spread in [1, wide | 1] {
                let mut known = std::collections::HashSet::new();
                let mut bits = Visited::new(Some(500), 0).unwrap();
                let mut table = Visited::new(None, 4).unwrap();
                for &element in &elements {
                    let new = known.insert(element);
                    prop_assert_eq!(bits.insert(ElementId(element)).unwrap(), new);
                    let name = element.wrapping_mul(spread);
                    prop_assert_eq!(table.insert(ElementId(name)).unwrap(), new && name != EMPTY);
                }
                table.reset(None, 10).unwrap();
                prop_assert!(table.insert(ElementId(1)).unwrap());
            }
        }
    }

    #[test]
    fn beyond_the_bound() {
        let mut bits = Visited::new(Some(10), 0).unwrap();
        assert!(!bits.insert(ElementId(64)).unwrap());
        assert!(!Visited::new(None, 0).unwrap().insert(ElementId(EMPTY)).unwrap());
    }
}
