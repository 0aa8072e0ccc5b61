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
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn connect(lists: &mut impl Lists) -> Result<usize> {
    // A link that gives way may have been the last one to another element.
    for _ in 0..8 {
        let reached = reached(lists)?.reached;
        let mut lost = Vec::new();
        for element in (0..lists.count()).filter(|&element| lists.level(element).is_some()) {
            if reached.get(element as usize) != Some(&true) {
                lost.try_reserve(1)?;
                lost.push(element);
            }
        }
        if lost.is_empty() {
            return Ok(0);
        }
        let mut incoming = incoming(lists)?;
        for element in lost {
            let mut nearest: Option<(f32, u32)> = None;
            lists.each_link(element, 0, |link, distance| {
                let nearer = nearest.is_none_or(|(other, _)| distance.total_cmp(&other).is_lt());
                if nearer && reached.get(link as usize) == Some(&true) {
                    nearest = Some((distance, link));
                }
            });
            if let Some((distance, from)) = nearest {
                force(lists, from, element, distance, &mut incoming);
            }
        }
    }
    connect_by_tree(lists)
}

/// As [`connect`], where that does not come to an end: groups of vectors that are equal, or as far from each other, drive
/// out each other's links. Here no link gives way on which a way to another element depends.
fn connect_by_tree(lists: &mut impl Lists) -> Result<usize> {
    let mut tree = reached(lists)?;
    loop {
        let (mut left, mut first, mut progress) = (0, None, false);
        for element in 0..lists.count() {
            if tree.reached[element as usize] || lists.level(element).is_none() {
                continue;
            }
            let mut nearest: Option<(f32, u32, usize)> = None;
            for (from, distance) in links_of(lists, element)? {
                let nearer = nearest.is_none_or(|(other, ..)| distance.total_cmp(&other).is_lt());
                if nearer
                    && tree.reached[from as usize]
                    && let Some(at) = tree.place(lists, from)
                {
                    nearest = Some((distance, from, at));
                }
            }
            if let Some((distance, from, at)) = nearest {
                lists.put(from, at, element, distance);
                tree.grow(lists, element, from)?;
                progress = true;
            } else {
                left += 1;
                first = first.or(Some(element));
            }
        }
        let Some(first) = first else { return Ok(0) };
        if progress {
            continue;
        }
        // It has no link to any of the others: any place will do.
        let place = (0..lists.count())
            .filter(|&from| tree.reached[from as usize])
            .find_map(|from| Some((from, tree.place(lists, from)?)));
        let Some((from, at)) = place else { return Ok(left) };
        lists.put(from, at, first, f32::INFINITY);
        tree.grow(lists, first, from)?;
    }
}

fn links_of(lists: &impl Lists, element: u32) -> Result<Vec<(u32, f32)>> {
    let mut links = Vec::new();
    links.try_reserve_exact(lists.room())?;
    lists.each_link(element, 0, |link, distance| links.push((link, distance)));
    Ok(links)
}

/// No element: on the way by an upper layer, or not come by.
const NOTHING: u32 = u32::MAX;

/// The elements that there is a way to from where searches begin.
struct Tree {
    reached: Vec<bool>,
    /// The element by whose link on the lowest layer each was come by first.
    parents: Vec<u32>,
    open: Vec<u32>,
}

impl Tree {
    /// Comes by an element, and by all that there is a way to from there.
    fn grow(&mut self, lists: &impl Lists, element: u32, parent: u32) -> Result<()> {
        self.open.try_reserve(1)?;
        self.open.push(element);
        self.reached[element as usize] = true;
        self.parents[element as usize] = parent;
        while let Some(element) = self.open.pop() {
            for layer in 0..=lists.level(element).unwrap_or(0) {
                lists.each_link(element, layer, |link, _| {
                    if !core::mem::replace(&mut self.reached[link as usize], true) {
                        self.parents[link as usize] = if layer == 0 { element } else { NOTHING };
                        self.open.push(link);
                    }
                });
            }
        }
        Ok(())
    }

    /// A place of an element's list that is free, or that of the farthest link that nothing depends on.
    fn place(&self, lists: &impl Lists, element: u32) -> Option<usize> {
        let mut count = 0;
        let mut farthest: Option<(usize, f32)> = None;
        lists.each_link(element, 0, |link, distance| {
            let farther = farthest.is_none_or(|(_, other)| distance.total_cmp(&other).is_ge());
            if farther && self.parents[link as usize] != element {
                farthest = Some((count, distance));
            }
            count += 1;
        });
        if count < lists.room() { Some(count) } else { farthest.map(|(at, _)| at) }
    }
}

fn reached(lists: &impl Lists) -> Result<Tree> {
    let count = lists.count() as usize;
    let (mut reached, mut parents, mut open) = (Vec::new(), Vec::new(), Vec::new());
    reached.try_reserve_exact(count)?;
    reached.resize(count, false);
    parents.try_reserve_exact(count)?;
    parents.resize(count, NOTHING);
    open.try_reserve_exact(count)?;
    let mut tree = Tree { reached, parents, open };
    if let Some(entry) = lists.entry() {
        tree.grow(lists, entry, NOTHING)?;
    }
    Ok(tree)
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

/// Adds a link on the lowest layer, if need be in place of the farthest one to an element that others lead to.
fn force(lists: &mut impl Lists, from: u32, to: u32, distance: f32, incoming: &mut [u32]) {
    let mut count = 0;
    let mut farthest: Option<(usize, f32, u32)> = None;
    lists.each_link(from, 0, |link, distance| {
        // The last one of those that are as far.
        let farther = farthest.is_none_or(|(_, other, _)| distance.total_cmp(&other).is_ge());
        if farther && incoming.get(link as usize).is_some_and(|&count| count > 1) {
            farthest = Some((count, distance, link));
        }
        count += 1;
    });
    let at = if count < lists.room() {
        count
    } else {
        let Some((at, _, link)) = farthest else { return };
        incoming[link as usize] -= 1;
        at
    };
    lists.put(from, at, to, distance);
    incoming[to as usize] += 1;
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
        let lost = |links: &Links| {
            reached(links).unwrap().reached.iter().filter(|&&reached| !reached).count()
        };
        assert!(lost(&links) > 0);
        assert_eq!(links.connect().unwrap(), 0);
        assert_eq!(lost(&links), 0);
        assert!((0..2000).all(|element| links.ids(element, 0).count() <= options.max_links(0)));
    }

    /// Equal vectors drive out links to others: none of the elements is lost for that.
    #[test]
    fn equal_vectors_are_reached() {
        let options = Options::new(4, 32).unwrap();
        let points: Vec<[f32; 2]> =
            (0..2000).map(|row| [(row / 40) as f32, (row / 40 % 7) as f32]).collect();
        let mut links = Links::new(options);
        let (mut random, mut workspace) = (SplitMix64::new(1), Workspace::new().unwrap());
        for (id, point) in (0u32..).zip(&points) {
            let level = options.random_level(&mut random, MAX_LEVEL);
            let vectors = Points(&points[..id as usize]);
            let mut writer = Writer { vectors, links: &mut links };
            let plan = plan(&mut writer, point, level, options, None, &mut workspace).unwrap();
            links.add(level).unwrap();
            links.set(id, &plan);
            let vectors = Points(&points[..=id as usize]);
            let mut writer = Writer { vectors, links: &mut links };
            link(&mut writer, ElementId(u64::from(id)), point, &plan, options).unwrap();
            if links.entry().and_then(|entry| links.level(entry)).is_none_or(|high| level > high) {
                links.set_entry(Some(id));
            }
        }
        assert_eq!(links.connect().unwrap(), 0);
        assert!(reached(&links).unwrap().reached.iter().all(|&reached| reached));
        assert!((0..2000).all(|element| links.ids(element, 0).count() <= options.max_links(0)));
    }
}
