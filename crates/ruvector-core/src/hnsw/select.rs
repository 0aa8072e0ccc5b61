//! Algorithm 4: which of several candidates to link with.

use alloc::vec::Vec;

use super::store::{Candidate, ElementId, LinkStore};
use crate::error::Error;

/// What became of an attempt to keep one more link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// It is not one of the best.
    None,
    /// It takes the place of the link that was at this place.
    Instead(usize),
}

/// Chooses at most `count` of `candidates`, which are in order of distance from the base.
///
/// A candidate is taken if it is nearer to the base than to every one that was taken before: those would lead to it
/// anyhow. Places that are left go to the nearest of the others.
pub(super) fn select<S: LinkStore>(
    store: &mut S,
    candidates: &[Candidate],
    count: usize,
) -> Result<Vec<Candidate>, S::Error> {
    let mut taken: Vec<Candidate> = Vec::new();
    taken.try_reserve_exact(count.min(candidates.len())).map_err(Error::from)?;
    if candidates.len() <= count {
        taken.extend_from_slice(candidates);
        return Ok(taken);
    }
    let mut vectors: Vec<S::Vector> = Vec::new();
    vectors.try_reserve_exact(count).map_err(Error::from)?;
    let mut others: Vec<Candidate> = Vec::new();
    others.try_reserve_exact(candidates.len()).map_err(Error::from)?;
    for &candidate in candidates {
        if taken.len() == count {
            break;
        }
        let Some(vector) = store.load(candidate.id)? else { continue };
        let mut nearer = true;
        for other in &vectors {
            if store.distance(&vector, other)? <= candidate.distance {
                nearer = false;
                break;
            }
        }
        if nearer {
            taken.push(candidate);
            vectors.push(vector);
        } else {
            others.push(candidate);
        }
    }
    let places = count - taken.len();
    taken.extend(others.into_iter().take(places));
    Ok(taken)
}

/// Which of several links to drop, so that one fewer is left: the farthest of those that [`select`] would not take, or
/// the farthest of all. A candidate without a vector is the new one, whose vector is `added`.
pub(super) fn drop_one<S: LinkStore>(
    store: &mut S,
    candidates: &[(Candidate, Option<S::Vector>)],
    added: &S::Vector,
) -> Result<Option<ElementId>, S::Error> {
    let mut taken: Vec<&S::Vector> = Vec::new();
    taken.try_reserve_exact(candidates.len()).map_err(Error::from)?;
    let mut dropped = None;
    for (candidate, vector) in candidates {
        let vector = vector.as_ref().unwrap_or(added);
        let mut nearer = true;
        for other in &taken {
            if store.distance(vector, other)? <= candidate.distance {
                nearer = false;
                break;
            }
        }
        if nearer {
            taken.push(vector);
        } else {
            dropped = Some(candidate.id);
        }
    }
    Ok(dropped.or_else(|| candidates.last().map(|(candidate, _)| candidate.id)))
}

/// Lists up to this length are done with fewer distances.
const READMITTED: usize = 256;

/// [`LinkStore::link_back`] for stores that keep their links in order of distance, and for each whether the heuristic
/// takes it (`nearer`): with as few distances as are needed for one more.
///
/// `links` are the distances of a full list and their marks; `added` is the new link's distance, and `between` computes
/// the distance of two links of the list, in which `links.len()` stands for the new one. The marks are brought up to date;
/// the new link's is returned.
///
/// # Errors
/// Those of `between`.
pub fn keep_incrementally<E>(
    links: &mut [(f32, bool)],
    added: f32,
    mut between: impl FnMut(usize, usize) -> Result<f32, E>,
) -> Result<(Kept, bool), E> {
    let new = links.len();
    // After those that are as near, which have been there for longer.
    let place = links.partition_point(|&(distance, _)| distance <= added);
    for other in 0..place {
        if links[other].1 && between(new, other)? <= added {
            // Not taken, so nothing changes for the others.
            let dropped = links.iter().rposition(|&(_, nearer)| !nearer).filter(|&at| at >= place);
            return Ok((dropped.map_or(Kept::None, Kept::Instead), false));
        }
    }
    // Taken. Links behind it may no longer be, and those that were kept out by these may be now.
    let (mut removed, mut readmitted) = (false, [0u64; READMITTED / 64]);
    for at in place..new {
        let (distance, nearer) = links[at];
        // One that was taken has to be compared with what was not taken before; another one with all.
        let all = !nearer || new > READMITTED;
        let mut still = nearer || removed || new > READMITTED;
        still = still && between(at, new)? > distance;
        for other in 0..at {
            if !still {
                break;
            }
            let compare =
                links[other].1 && (all || readmitted[other / 64] >> (other % 64) & 1 == 1);
            still = !compare || between(at, other)? > distance;
        }
        removed |= nearer && !still;
        if still && !nearer && at < READMITTED {
            readmitted[at / 64] |= 1 << (at % 64);
        }
        links[at].1 = still;
    }
    // The farthest that is not taken, or the farthest of all: that may be the new one.
    let dropped = links.iter().rposition(|&(_, nearer)| !nearer);
    let dropped = match dropped {
        Some(at) => Kept::Instead(at),
        None if place == new => Kept::None,
        None => Kept::Instead(new - 1),
    };
    Ok((dropped, true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Points on a plane, with the base in the middle.
    type Point = (f32, f32);

    fn distance(a: Point, b: Point) -> f32 {
        (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)
    }

    /// By the definition: marks of points in order of distance.
    fn marks(points: &[Point]) -> Vec<bool> {
        let mut taken: Vec<Point> = Vec::new();
        let mark = |&point: &Point| {
            let nearer =
                taken.iter().all(|&other| distance(point, other) > distance(point, (0.0, 0.0)));
            if nearer {
                taken.push(point);
            }
            nearer
        };
        points.iter().map(mark).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// One after the other, as by the definition over all at once.
        #[test]
        fn as_by_the_definition(points in proptest::collection::vec((-1f32..1.0, -1f32..1.0), 2..30), cap in 1usize..8) {
            let mut list: Vec<Point> = Vec::new();
            let mut flags: Vec<(f32, bool)> = Vec::new();
            for point in points {
                let added = distance(point, (0.0, 0.0));
                let place = list.partition_point(|&other| distance(other, (0.0, 0.0)) <= added);
                // All at once.
                let mut all = list.clone();
                all.insert(place, point);
                let expected = marks(&all);
                let over = all.len() > cap;
                let dropped = expected.iter().rposition(|nearer| !nearer).unwrap_or(all.len() - 1);

                let at = |i: usize| if i == list.len() { point } else { list[i] };
                let (kept, nearer) =
                    keep_incrementally::<()>(&mut flags, added, |a, b| Ok(distance(at(a), at(b)))).unwrap();
                let mut got: Vec<bool> = flags.iter().map(|flag| flag.1).collect();
                got.insert(place, nearer);
                prop_assert_eq!(&got, &expected);

                flags.insert(place, (added, nearer));
                list.insert(place, point);
                if over {
                    let index = match kept {
                        Kept::None => place,
                        Kept::Instead(at) => at + usize::from(at >= place),
                    };
                    prop_assert_eq!(index, dropped);
                    flags.remove(index);
                    list.remove(index);
                    // Dropping one that is taken changes what is behind it, of which there is nothing.
                    prop_assert!(!expected[index] || index == list.len());
                }
            }
        }
    }
}
