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

    /// The distance of two elements, where it is known: others count as infinitely far apart.
    fn distance(&self, a: u32, b: u32) -> f32 {
        let _ = (a, b);
        f32::INFINITY
    }

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
/// An element counts that there is a way to, on the lowest layer, from where searches begin. Of each one link of such a way is
/// known, and none of these gives way to another but by leading there over the new element; so nothing is lost that was not
/// before. Of equally near elements each takes its part: where thousands of vectors are the same, the links of the first of
/// them are taken soon, and all others have links to these.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn connect(lists: &mut impl Lists) -> Result<usize> {
    let mut ways = Ways::new(lists)?;
    loop {
        let (left, linked) = ways.link_lost(lists, false)?;
        if left == 0 {
            return Ok(0);
        }
        // Those that had no link to what could be come by may have one now.
        if linked == 0 {
            break;
        }
    }
    // What is left are groups that have links among themselves alone.
    ways.link_lost(lists, true).map(|(left, _)| left)
}

/// How elements are come by.
struct Ways {
    /// For each element one that has a link to it on the lowest layer; itself where searches begin, or [`NONE`].
    before: Vec<u32>,
    open: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Ways {
    fn new(lists: &impl Lists) -> Result<Self> {
        let count = lists.count() as usize;
        let mut ways = Self { before: Vec::new(), open: Vec::new() };
        ways.before.try_reserve_exact(count)?;
        ways.before.resize(count, NONE);
        if let Some(entry) = lists.entry() {
            ways.set(entry, entry);
            ways.go_on(lists, entry)?;
        }
        Ok(ways)
    }

    /// Links what cannot be come by, if it has a link to what can; or else, if it is `forced`, to where a search ends. How many
    /// are left, and how many were linked?
    fn link_lost(&mut self, lists: &mut impl Lists, forced: bool) -> Result<(usize, usize)> {
        let (mut left, mut linked) = (0, 0);
        for element in 0..lists.count() {
            if self.leads_to(element) || lists.level(element).is_none() {
                continue;
            }
            let nearest = self.nearest(lists, element);
            match nearest.or_else(|| forced.then(|| self.search(lists, element)).flatten()) {
                Some((distance, from)) => {
                    linked += 1;
                    self.link(lists, from, element, distance);
                    self.go_on(lists, element)?;
                }
                None => left += 1,
            }
        }
        Ok((left, linked))
    }

    fn before(&self, element: u32) -> u32 {
        self.before.get(element as usize).copied().unwrap_or(NONE)
    }

    fn set(&mut self, element: u32, before: u32) {
        if let Some(place) = self.before.get_mut(element as usize) {
            *place = before;
        }
    }

    fn leads_to(&self, element: u32) -> bool {
        self.before(element) != NONE
    }

    /// Notes all that there is a way to from an element.
    fn go_on(&mut self, lists: &impl Lists, element: u32) -> Result<()> {
        self.open.try_reserve(self.before.len())?;
        self.open.push(element);
        while let Some(element) = self.open.pop() {
            lists.each_link(element, 0, |link, _| {
                if !self.leads_to(link) {
                    self.set(link, element);
                    self.open.push(link);
                }
            });
        }
        Ok(())
    }

    /// The nearest of the elements that an element has a link to; of those that are as near, one or the other.
    fn nearest(&self, lists: &impl Lists, element: u32) -> Option<(f32, u32)> {
        let (mut least, mut count) = (f32::INFINITY, 0u32);
        lists.each_link(element, 0, |link, distance| {
            if self.leads_to(link) {
                if count == 0 || distance.total_cmp(&least).is_lt() {
                    (least, count) = (distance, 0);
                }
                count += u32::from(distance.total_cmp(&least).is_eq());
            }
        });
        let (mut nearest, mut at) = (None, 0);
        lists.each_link(element, 0, |link, distance| {
            if self.leads_to(link) && distance.total_cmp(&least).is_eq() {
                if at == element % count {
                    nearest = Some((distance, link));
                }
                at += 1;
            }
        });
        nearest
    }

    /// Where a search for an element ends that goes from one to the nearest of those it has links to.
    fn search(&self, lists: &impl Lists, element: u32) -> Option<(f32, u32)> {
        let entry = lists.entry()?;
        let mut nearest = (lists.distance(element, entry), entry);
        for layer in (0..=lists.level(entry)?).rev() {
            loop {
                let from = nearest.1;
                lists.each_link(from, layer, |link, _| {
                    if self.leads_to(link) {
                        let distance = lists.distance(element, link);
                        if distance < nearest.0 {
                            nearest = (distance, link);
                        }
                    }
                });
                if nearest.1 == from {
                    break;
                }
            }
        }
        Some(nearest)
    }

    /// Links an element that could not be come by.
    fn link(&mut self, lists: &mut impl Lists, from: u32, to: u32, distance: f32) {
        let replaced = self.put(lists, from, to, distance);
        self.set(to, from);
        if let Some((link, farther)) = replaced
            && self.before(link) == from
        {
            // The way there is over the new element, on whose links none depends yet. The distance is not known, but that
            // of where both were linked from.
            self.put(lists, to, link, farther);
            self.set(link, to);
        }
    }

    /// Adds a link, if need be in place of the farthest one that is on no way; or else of the farthest, which is returned
    /// with its distance.
    fn put(&self, lists: &mut impl Lists, from: u32, to: u32, distance: f32) -> Option<(u32, f32)> {
        // Whether it is on no way, place, link, distance; the last one of those that are as far.
        let (mut count, mut farthest): (usize, Option<(bool, usize, u32, f32)>) = (0, None);
        let mut there = false;
        lists.each_link(from, 0, |link, distance| {
            let free = self.before(link) != from;
            let better = farthest.is_none_or(|(known, _, _, other)| {
                free.cmp(&known).then(distance.total_cmp(&other)).is_ge()
            });
            if better {
                farthest = Some((free, count, link, distance));
            }
            there |= link == to;
            count += 1;
        });
        if there {
            return None;
        }
        let (at, replaced) = match farthest {
            Some((_, at, link, distance)) if count >= lists.room() => (at, Some((link, distance))),
            _ => (count, None),
        };
        lists.put(from, at, to, distance);
        replaced
    }
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

    /// A graph of points, and how many elements of it are lost.
    fn graph(options: Options, points: &[[f32; 2]], random: &mut SplitMix64) -> (Links, usize) {
        let mut links = Links::new(options);
        let mut workspace = Workspace::new().unwrap();
        for (id, point) in (0..).zip(points) {
            let level = options.random_level(random, MAX_LEVEL);
            let mut writer = Writer { vectors: Points(points), links: &mut links };
            let plan = plan(&mut writer, point, level, options, None, &mut workspace).unwrap();
            writer.links.add(level).unwrap();
            writer.links.set(id, &plan);
            link(&mut writer, ElementId(u64::from(id)), point, &plan, options).unwrap();
            let highest = links.entry().and_then(|entry| links.level(entry));
            if highest.is_none_or(|highest| level > highest) {
                links.set_entry(Some(id));
            }
        }
        let lost = lost(&links);
        (links, lost)
    }

    fn lost(links: &Links) -> usize {
        Ways::new(links).unwrap().before.iter().filter(|&&before| before == NONE).count()
    }

    /// With few links, and groups of points far from each other, or all in one place, elements would be lost.
    #[test]
    fn all_elements_are_reached() {
        let mut random = SplitMix64::new(3);
        for (m, groups, width) in
            [(2, 20, 1.0), (2, 3, 1e-3), (5, 1, 0.0), (2, 1, 0.0), (3, 9, 0.0)]
        {
            let options = Options::new(m, 2 * m).unwrap();
            let mut point = || {
                let group = random.below(groups) as f32 * 100.0;
                [group + random.next_f64() as f32 * width, random.next_f64() as f32 * width]
            };
            let points: Vec<_> = (0..2000).map(|_| point()).collect();
            let (mut links, before) = graph(options, &points, &mut random);
            assert!(before > 0);
            assert_eq!(links.connect().unwrap(), 0);
            assert_eq!(lost(&links), 0);
            let most = options.max_links(0);
            assert!((0..2000).all(|element| {
                let mut ids: Vec<u32> = links.ids(element, 0).collect();
                let count = ids.len();
                ids.sort_unstable();
                ids.dedup();
                ids.len() == count && count <= most && !ids.contains(&element)
            }));
        }
    }
}
