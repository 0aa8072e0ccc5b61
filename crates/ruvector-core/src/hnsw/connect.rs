//! Elements of a graph in memory that searches do not come by: they are linked again.

use alloc::vec::Vec;

use super::graph::{Links, NEARER};
use crate::error::Result;

/// A graph in memory that nobody changes meanwhile.
pub trait Lists {
    /// How many elements there are.
    fn count(&self) -> u32;

    /// The highest layer of an element; nothing for what is not in the graph.
    fn level(&self, element: u32) -> Option<u8>;

    /// Where searches begin.
    fn entry(&self) -> Option<u32>;

    /// The links of an element on a layer, and their distances.
    fn each_link(&self, element: u32, layer: u8, see: impl FnMut(u32, f32));

    /// How many links an element can have on the lowest layer.
    fn room(&self) -> usize;

    /// Puts a link at a place of a list of the lowest layer, or behind its last one. The list is then neither in order nor
    /// marked any more.
    fn put(&mut self, element: u32, at: usize, link: u32, distance: f32);
}

impl Lists for Links {
    fn count(&self) -> u32 {
        self.len() as u32
    }

    fn level(&self, element: u32) -> Option<u8> {
        Self::level(self, element)
    }

    fn entry(&self) -> Option<u32> {
        Self::entry(self)
    }

    fn each_link(&self, element: u32, layer: u8, mut see: impl FnMut(u32, f32)) {
        let Some(list) = self.list(element, layer) else { return };
        for place in list + 1..=list + Self::count(self, list) {
            see(self.places[place] & !NEARER, self.distances[place]);
        }
    }

    fn room(&self) -> usize {
        self.options.max_links(0)
    }

    fn put(&mut self, element: u32, at: usize, link: u32, distance: f32) {
        let Some(list) = self.list(element, 0) else { return };
        let count = Self::count(self, list).max(at + 1);
        for place in list + 1..=list + count {
            self.places[place] &= !NEARER;
        }
        self.places[list] = count as u32;
        self.places[list + 1 + at] = link;
        self.distances[list + 1 + at] = distance;
    }
}

impl Links {
    /// As [`connect`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn connect(&mut self) -> Result<usize> {
        connect(self)
    }
}

/// Links elements that searches cannot come by, as none that they come by is linked to them: to the nearest element
/// that they have a link to themselves. How many are left?
///
/// Of equally near ones each takes its part: where thousands of vectors are the same, the links of the first of them are taken
/// soon, and all others have links to these.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn connect(lists: &mut impl Lists) -> Result<usize> {
    let mut left = 0;
    // A link that gives way may have been the last one to another element.
    for _ in 0..8 {
        let mut reached = reached(lists)?;
        let is_lost =
            |reached: &[bool], element: u32| reached.get(element as usize) == Some(&false);
        let mut lost = Vec::new();
        for element in (0..lists.count()).filter(|&element| lists.level(element).is_some()) {
            if is_lost(&reached, element) {
                lost.try_reserve(1)?;
                lost.push(element);
            }
        }
        left = lost.len();
        if left == 0 {
            break;
        }
        let (mut incoming, mut open) = (incoming(lists)?, Vec::new());
        for element in lost {
            // By way of one that was linked meanwhile.
            if !is_lost(&reached, element) {
                continue;
            }
            if let Some((distance, from)) = nearest(lists, element, &reached) {
                force(lists, from, element, distance, &mut incoming);
                reach(lists, element, &mut reached, &mut open)?;
            }
        }
    }
    Ok(left)
}

/// The nearest of the elements that an element has a link to; of those that are as near, one or the other.
fn nearest(lists: &impl Lists, element: u32, reached: &[bool]) -> Option<(f32, u32)> {
    let (mut least, mut count) = (f32::INFINITY, 0u32);
    lists.each_link(element, 0, |link, distance| {
        if reached.get(link as usize) == Some(&true) {
            if count == 0 || distance.total_cmp(&least).is_lt() {
                (least, count) = (distance, 0);
            }
            count += u32::from(distance.total_cmp(&least).is_eq());
        }
    });
    let (mut nearest, mut at) = (None, 0);
    lists.each_link(element, 0, |link, distance| {
        if reached.get(link as usize) == Some(&true) && distance.total_cmp(&least).is_eq() {
            if at == element % count {
                nearest = Some((distance, link));
            }
            at += 1;
        }
    });
    nearest
}

/// The elements that there is a way to from where searches begin.
fn reached(lists: &impl Lists) -> Result<Vec<bool>> {
    let count = lists.count() as usize;
    let (mut reached, mut open) = (Vec::new(), Vec::new());
    reached.try_reserve_exact(count)?;
    reached.resize(count, false);
    if let Some(entry) = lists.entry() {
        reach(lists, entry, &mut reached, &mut open)?;
    }
    Ok(reached)
}

/// Notes an element, and all that there is a way to from there. `open` is memory to use again.
fn reach(
    lists: &impl Lists,
    element: u32,
    reached: &mut [bool],
    open: &mut Vec<u32>,
) -> Result<()> {
    open.try_reserve(reached.len())?;
    open.push(element);
    if let Some(reached) = reached.get_mut(element as usize) {
        *reached = true;
    }
    while let Some(element) = open.pop() {
        for layer in 0..=lists.level(element).unwrap_or(0) {
            lists.each_link(element, layer, |link, _| {
                let known = reached.get_mut(link as usize);
                if known.is_some_and(|known| !core::mem::replace(known, true)) {
                    open.push(link);
                }
            });
        }
    }
    Ok(())
}

/// How many links lead to each element on the lowest layer.
fn incoming(lists: &impl Lists) -> Result<Vec<u32>> {
    let mut incoming = Vec::new();
    incoming.try_reserve_exact(lists.count() as usize)?;
    incoming.resize(lists.count() as usize, 0);
    for element in 0..lists.count() {
        lists.each_link(element, 0, |link, _| incoming[link as usize] += 1);
    }
    Ok(incoming)
}

/// Adds a link on the lowest layer, if need be in place of the farthest one to an element that others lead to. If there is
/// none, the way to the farthest one is over the new link from then on.
fn force(lists: &mut impl Lists, from: u32, to: u32, distance: f32, incoming: &mut [u32]) {
    let replaced = replace(lists, from, to, distance, incoming);
    if let Some((link, farther)) = replaced
        && link != to
        && incoming.get(link as usize) == Some(&0)
    {
        // The distance is not known, but that to where both were linked from; it decides about nothing but what gives way next.
        replace(lists, to, link, farther, incoming);
    }
}

/// Adds a link, and returns the one in whose place it is, with its distance.
fn replace(
    lists: &mut impl Lists,
    from: u32,
    to: u32,
    distance: f32,
    incoming: &mut [u32],
) -> Option<(u32, f32)> {
    // Whether others lead there, place, link, distance; the last one of those that are as far.
    let (mut count, mut farthest): (usize, Option<(bool, usize, u32, f32)>) = (0, None);
    lists.each_link(from, 0, |link, distance| {
        let others = incoming.get(link as usize).is_some_and(|&count| count > 1);
        let better = farthest.is_none_or(|(known, _, _, other)| {
            others.cmp(&known).then(distance.total_cmp(&other)).is_ge()
        });
        if better {
            farthest = Some((others, count, link, distance));
        }
        count += 1;
    });
    let (at, replaced) = match farthest {
        Some((_, at, link, distance)) if count >= lists.room() => (at, Some((link, distance))),
        _ => (count, None),
    };
    if let Some((link, _)) = replaced
        && let Some(count) = incoming.get_mut(link as usize)
    {
        *count = count.saturating_sub(1);
    }
    lists.put(from, at, to, distance);
    if let Some(count) = incoming.get_mut(to as usize) {
        *count += 1;
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hnsw::graph::{MAX_LEVEL, VectorTable, Writer};
    use crate::hnsw::{ElementId, Options, Workspace, link, plan};
    use crate::rng::{Random as _, SplitMix64};

    #[derive(Clone, Copy)]
    struct Points<'a>(&'a [[f32; 2]]);

    impl VectorTable for Points<'_> {
        type View = [f32; 2];

        fn get(self, element: u32) -> Option<[f32; 2]> {
            self.0.get(element as usize).copied()
        }

        fn order(self, a: [f32; 2], b: [f32; 2]) -> f32 {
            (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
        }
    }

    /// With few links, and groups of points far from each other, some elements would be lost.
    #[test]
    fn all_elements_are_reached() {
        let options = Options::new(2, 4).unwrap();
        let mut random = SplitMix64::new(3);
        let mut points = Vec::new();
        let mut links = Links::new(options);
        let mut workspace = Workspace::new().unwrap();
        for id in 0..2000u32 {
            let group = random.below(20) as f32 * 100.0;
            points.push([group + random.next_f64() as f32, random.next_f64() as f32]);
            let point = points[id as usize];
            let level = options.random_level(&mut random, MAX_LEVEL);
            let mut writer = Writer { vectors: Points(&points), links: &mut links };
            let plan = plan(&mut writer, &point, level, options, None, &mut workspace).unwrap();
            writer.links.add(level).unwrap();
            writer.links.set(id, &plan);
            link(&mut writer, ElementId(u64::from(id)), &point, &plan, options).unwrap();
            let highest = links.entry().and_then(|entry| links.level(entry));
            if highest.is_none_or(|highest| level > highest) {
                links.set_entry(Some(id));
            }
        }
        let lost =
            |links: &Links| reached(links).unwrap().iter().filter(|&&reached| !reached).count();
        assert!(lost(&links) > 0);
        assert_eq!(links.connect().unwrap(), 0);
        assert_eq!(lost(&links), 0);
        assert!((0..2000).all(|element| links.ids(element, 0).count() <= options.max_links(0)));
    }
}
