//! Elements of a graph in memory that searches do not come by: they are linked again.

use alloc::vec::Vec;

use super::graph::{Links, NEARER};
use crate::error::Result;

impl Links {
    /// Links elements that searches cannot come by, as none that they come by is linked to them: to the nearest element
    /// that they have a link to themselves. How many are left?
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn connect(&mut self) -> Result<usize> {
        let mut left = 0;
        // A link that gives way may have been the last one to another element.
        for _ in 0..8 {
            let reached = self.reached()?;
            let (mut lost, count) = (Vec::new(), self.levels.len() as u32);
            for element in (0..count).filter(|&element| self.level(element).is_some()) {
                if reached.get(element as usize) != Some(&true) {
                    lost.try_reserve(1)?;
                    lost.push(element);
                }
            }
            left = lost.len();
            if left == 0 {
                break;
            }
            let mut incoming = self.incoming()?;
            for element in lost {
                let Some(list) = self.list(element, 0) else { continue };
                let count = self.count(list);
                let nearest = (list + 1..=list + count)
                    .map(|place| (self.distances[place], self.places[place] & !NEARER))
                    .filter(|(_, link)| reached.get(*link as usize) == Some(&true))
                    .min_by(|a, b| a.0.total_cmp(&b.0));
                if let Some((distance, from)) = nearest {
                    self.force(from, element, distance, &mut incoming);
                }
            }
        }
        Ok(left)
    }

    /// The elements that there is a way to from where searches begin.
    fn reached(&self) -> Result<Vec<bool>> {
        let (mut reached, mut open) = (Vec::new(), Vec::new());
        reached.try_reserve_exact(self.levels.len())?;
        reached.resize(self.levels.len(), false);
        open.try_reserve_exact(self.levels.len())?;
        open.extend(self.entry);
        self.entry.into_iter().for_each(|entry| reached[entry as usize] = true);
        while let Some(element) = open.pop() {
            for layer in 0..=self.level(element).unwrap_or(0) {
                for link in self.ids(element, layer) {
                    if !core::mem::replace(&mut reached[link as usize], true) {
                        open.push(link);
                    }
                }
            }
        }
        Ok(reached)
    }

    /// How many links lead to each element on the lowest layer.
    fn incoming(&self) -> Result<Vec<u32>> {
        let mut incoming = Vec::new();
        incoming.try_reserve_exact(self.levels.len())?;
        incoming.resize(self.levels.len(), 0);
        for element in 0..self.levels.len() as u32 {
            self.ids(element, 0).for_each(|link| incoming[link as usize] += 1);
        }
        Ok(incoming)
    }

    /// Adds a link on the lowest layer, if need be in place of the farthest one to an element that others lead to.
    fn force(&mut self, from: u32, to: u32, distance: f32, incoming: &mut [u32]) {
        let Some(list) = self.list(from, 0) else { return };
        let count = self.count(list);
        let place = if count < self.options.max_links(0) {
            self.places[list] = (count + 1) as u32;
            list + 1 + count
        } else {
            let others = |place: &usize| {
                let link = self.places[*place] & !NEARER;
                incoming.get(link as usize).is_some_and(|&count| count > 1)
            };
            let farthest = (list + 1..=list + count)
                .filter(others)
                .max_by(|&a, &b| self.distances[a].total_cmp(&self.distances[b]));
            let Some(place) = farthest else { return };
            incoming[(self.places[place] & !NEARER) as usize] -= 1;
            // Neither in order nor marked any more.
            for place in list + 1..=list + count {
                self.places[place] &= !NEARER;
            }
            self.places[list] = count as u32;
            place
        };
        self.places[place] = to;
        self.distances[place] = distance;
        incoming[to as usize] += 1;
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
            |links: &Links| links.reached().unwrap().iter().filter(|&&reached| !reached).count();
        assert!(lost(&links) > 0);
        assert_eq!(links.connect().unwrap(), 0);
        assert_eq!(lost(&links), 0);
        assert!((0..2000).all(|element| links.ids(element, 0).count() <= options.max_links(0)));
    }
}
