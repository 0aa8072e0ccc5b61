//! One list of links in memory, wherever it is: who changes it has it as slices.
//!
//! Next to each link is its distance; the link's highest bit says whether the heuristic takes it.

use super::graph::{NEARER, VectorTable};
use super::select::{Kept, keep_incrementally};
use crate::error::{Error, Result};

/// Links that there can be in a list, and one more.
pub(super) const MAX_LINKS: usize = 201;

/// The order of two vectors; those that are not there are far away.
#[inline]
fn distance<T: VectorTable>(vectors: T, a: Option<T::View>, b: Option<T::View>) -> f32 {
    match (a, b) {
        (Some(a), Some(b)) => vectors.order(a, b),
        _ => f32::INFINITY,
    }
}

/// Puts a list in order, and marks what the heuristic takes.
pub(super) fn mark<T: VectorTable>(vectors: T, places: &mut [u32], distances: &mut [f32]) {
    let count = places.len();
    let mut links = [(0f32, 0u32); MAX_LINKS];
    let links = &mut links[..count];
    for (link, (&place, &distance)) in links.iter_mut().zip(places.iter().zip(&*distances)) {
        *link = (distance, place & !NEARER);
    }
    links.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for at in 0..count {
        let (own, id) = links[at];
        let vector = vectors.get(id);
        let nearer = (0..at).all(|other| {
            places[other] & NEARER == 0
                || distance(vectors, vector, vectors.get(links[other].1)) > own
        });
        places[at] = id | if nearer { NEARER } else { 0 };
        distances[at] = own;
    }
}

/// Offers a full list that is marked one more link, its distance and its element, whose vector this is.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(super) fn offer<T: VectorTable>(
    vectors: T,
    places: &mut [u32],
    distances: &mut [f32],
    (added_distance, added): (f32, u32),
    vector: T::View,
) -> Result<()> {
    let count = places.len();
    let mut marks = [(0f32, false); MAX_LINKS];
    for (mark, (&place, &distance)) in marks.iter_mut().zip(places.iter().zip(&*distances)) {
        *mark = (distance, place & NEARER != 0);
    }
    let vector_at = |at: usize| match places.get(at) {
        Some(place) => vectors.get(place & !NEARER),
        None => Some(vector),
    };
    let between = |a: usize, b: usize| Ok(distance(vectors, vector_at(a), vector_at(b)));
    let (kept, nearer) = keep_incrementally::<Error>(&mut marks[..count], added_distance, between)?;
    for (place, mark) in places.iter_mut().zip(&marks) {
        *place = *place & !NEARER | if mark.1 { NEARER } else { 0 };
    }
    let Kept::Instead(dropped) = kept else { return Ok(()) };
    let place = distances.partition_point(|&distance| distance <= added_distance);
    let link = added | if nearer { NEARER } else { 0 };
    // What is between the place that becomes free and that where it belongs moves by one.
    let place = if place > dropped {
        places[dropped..place].rotate_left(1);
        distances[dropped..place].rotate_left(1);
        place - 1
    } else {
        places[place..=dropped].rotate_right(1);
        distances[place..=dropped].rotate_right(1);
        place
    };
    places[place] = link;
    distances[place] = added_distance;
    Ok(())
}
