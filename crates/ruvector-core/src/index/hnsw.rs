//! Approximate search.

use alloc::vec::Vec;

use super::bytes::{Kind, Reader as ByteReader, Writer as ByteWriter};
use super::reader::Reader;
use super::{Metric, Neighbor, Vectors};
use crate::error::{Error, Result};
use crate::hnsw::graph::{Links, MAX_LEVEL, NO_NODE, Writer};
use crate::hnsw::{self, Candidate, ElementId, Options, Plan, Scan, Workspace};
use crate::rng::SplitMix64;

/// How an [`HnswIndex`] is built and searched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IndexOptions {
    /// How the graph is built.
    pub graph: Options,
    /// How many elements a search keeps in view, if it is not told otherwise: 64, or as many as results are wanted. (The
    /// setting of pgvector is 40.)
    pub ef_search: u16,
    /// The seed of the levels: the same vectors in the same order make the same graph on every host.
    pub seed: u64,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { graph: Options::default(), ef_search: 64, seed: 0 }
    }
}

/// A navigable graph of vectors: searches look at a few hundred of them, and find nearly all of the nearest.
///
/// ```
/// use ruvector_core::index::{HnswIndex, IndexOptions, Metric};
///
/// let mut index = HnswIndex::new(Metric::Cosine, 2, IndexOptions::default())?;
/// for angle in 0..360 {
///     let radians = (angle as f32).to_radians();
///     index.insert(&[radians.cos(), radians.sin()])?;
/// }
/// let found = index.search(&[0.0, 1.0], 3)?;
/// assert_eq!(found[0].id, 90);
///
/// let odd = index.search_where(&[0.0, 1.0], 3, |id| id % 2 == 1)?;
/// assert!([89, 91].contains(&odd[0].id));
/// # Ok::<(), ruvector_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HnswIndex {
    ef_search: u16,
    random: SplitMix64,
    vectors: Vectors,
    links: Links,
    /// For each vector, the first one that equals it: that one is in the graph.
    first: Vec<u32>,
    /// For each vector, the next one that equals it, or `NONE`.
    next: Vec<u32>,
    removed: Vec<bool>,
    workspace: Workspace,
}

const NONE: u32 = u32::MAX;

impl HnswIndex {
    /// Without any vector.
    ///
    /// # Errors
    /// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::InvalidOption`], [`Error::OutOfMemory`].
    pub fn new(metric: Metric, dimensions: u32, options: IndexOptions) -> Result<Self> {
        let graph = Options::new(options.graph.m, options.graph.ef_construction)?;
        if options.ef_search == 0 {
            return Err(Error::InvalidOption { name: "ef_search", allowed: "at least 1" });
        }
        Ok(Self {
            ef_search: options.ef_search,
            random: SplitMix64::new(options.seed),
            vectors: Vectors::new(metric, dimensions)?,
            links: Links::new(graph),
            first: Vec::new(),
            next: Vec::new(),
            removed: Vec::new(),
            workspace: Workspace::new()?,
        })
    }

    /// How many vectors were added, removed ones included.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Was no vector added?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the graph is built.
    pub fn options(&self) -> Options {
        self.links.options
    }

    /// How many dimensions vectors have.
    pub fn dimensions(&self) -> u32 {
        self.vectors.dimensions()
    }

    /// Adds a vector. Its number is how many were added before.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::NotANumber`], [`Error::Infinite`], [`Error::ZeroVector`] for the cosine,
    /// [`Error::IndexFull`], [`Error::OutOfMemory`]; the index is as before then.
    pub fn insert(&mut self, vector: &[f32]) -> Result<u32> {
        let prepared = self.vectors.prepare(vector)?;
        self.first.try_reserve(1)?;
        self.next.try_reserve(1)?;
        self.removed.try_reserve(1)?;
        let level = self.links.options.random_level(&mut self.random, MAX_LEVEL);
        let options = self.links.options;
        let mut writer = Writer { vectors: &self.vectors, links: &mut self.links };
        let plan =
            hnsw::plan(&mut writer, &&prepared[..], level, options, None, &mut self.workspace)?;
        let twin = self.twin(&prepared, &plan);
        let id = self.vectors.push(&prepared)?;
        if let Err(error) = self.links.add(if twin.is_some() { NO_NODE } else { level }) {
            self.vectors.pop();
            return Err(error);
        }
        self.removed.push(false);
        self.next.push(NONE);
        match twin {
            Some(twin) => self.join(twin, id),
            None => {
                self.first.push(id);
                self.links.set(id, &plan);
                let higher = match self.links.entry {
                    Some(entry) => level > self.links.levels[entry as usize],
                    None => true,
                };
                let element = ElementId(u64::from(id));
                let mut writer = Writer { vectors: &self.vectors, links: &mut self.links };
                hnsw::link(&mut writer, element, &&prepared[..], &plan, options)?;
                if higher {
                    self.links.entry = Some(id);
                }
            }
        }
        Ok(id)
    }

    /// An element with the same vector.
    fn twin(&self, prepared: &[f32], plan: &Plan) -> Option<u32> {
        // The nearest come first, and equal vectors are nearest by every metric but the inner product.
        let nearest = plan.nearest.first()?.distance;
        let mut near = plan.nearest.iter().take_while(|candidate| {
            candidate.distance == nearest || self.vectors.metric() == Metric::InnerProduct
        });
        near.find_map(|candidate| {
            let id = u32::try_from(candidate.id.0).ok()?;
            (self.vectors.get(id)? == prepared).then_some(id)
        })
    }

    /// Puts a vector behind the element that it equals.
    fn join(&mut self, twin: u32, id: u32) {
        self.first.push(twin);
        self.next[id as usize] = self.next[twin as usize];
        self.next[twin as usize] = id;
        self.links.live[twin as usize] += 1;
    }

    /// The vectors that stand at an element.
    fn members(&self, element: u32) -> impl Iterator<Item = u32> {
        let next = |&id: &u32| self.next.get(id as usize).copied().filter(|&id| id != NONE);
        core::iter::successors(Some(element), next)
            .filter(|&id| self.removed.get(id as usize) == Some(&false))
    }

    /// About the `count` nearest vectors, in order of distance.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::NotANumber`], [`Error::Infinite`], [`Error::ZeroVector`] for the cosine,
    /// [`Error::OutOfMemory`].
    pub fn search(&self, query: &[f32], count: usize) -> Result<Vec<Neighbor>> {
        self.search_with(query, count, usize::from(self.ef_search), |_| true)
    }

    /// As [`HnswIndex::search`], of those vectors only whose numbers fulfil a condition. The search goes on until there are
    /// enough, or no more to look at.
    ///
    /// # Errors
    /// As [`HnswIndex::search`].
    pub fn search_where(
        &self,
        query: &[f32],
        count: usize,
        condition: impl Fn(u32) -> bool,
    ) -> Result<Vec<Neighbor>> {
        self.search_with(query, count, usize::from(self.ef_search), condition)
    }

    /// As [`HnswIndex::search_where`], with `ef` elements in view, or `count` if that is more.
    ///
    /// # Errors
    /// As [`HnswIndex::search`].
    pub fn search_with(
        &self,
        query: &[f32],
        count: usize,
        ef: usize,
        condition: impl Fn(u32) -> bool,
    ) -> Result<Vec<Neighbor>> {
        let query = self.vectors.prepare(query)?;
        let query = &query[..];
        let count = count.min(self.len());
        let mut found: Vec<(f32, u32)> = Vec::new();
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut reader = Reader::new(&self.vectors, &self.links);
        let mut scan = Scan::new(ef.max(count), true)?;
        let mut batch = scan.first(&mut reader, &query)?;
        while !batch.is_empty() {
            for &Candidate { distance, id, .. } in batch {
                for member in self.members(id.0 as u32).filter(|&id| condition(id)) {
                    found.try_reserve(1)?;
                    found.push((distance, member));
                }
            }
            if found.len() >= count {
                break;
            }
            batch = scan.more(&mut reader, &query)?;
        }
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        found.truncate(count);
        let mut results = Vec::new();
        results.try_reserve_exact(found.len())?;
        let metric = self.vectors.metric();
        results.extend(
            found.into_iter().map(|(order, id)| Neighbor { id, distance: metric.distance(order) }),
        );
        Ok(results)
    }

    /// Removes a vector: searches do not find it any more. Was it there?
    ///
    /// What it takes is used until [`HnswIndex::repair`] has taken it out of the graph.
    pub fn remove(&mut self, id: u32) -> bool {
        let (Some(removed), Some(&first)) =
            (self.removed.get_mut(id as usize), self.first.get(id as usize))
        else {
            return false;
        };
        if *removed {
            return false;
        }
        *removed = true;
        if let Some(live) = self.links.live.get_mut(first as usize) {
            *live = live.saturating_sub(1);
        }
        true
    }

    /// Takes removed vectors out of the graph: elements that are linked with them get other links. Searches are as good as
    /// in a graph that was built without them.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; the index is usable then, and can be repaired again.
    pub fn repair(&mut self) -> Result<()> {
        let count = self.links.levels.len() as u32;
        let options = self.links.options;
        for element in 0..count {
            let level = self.links.levels[element as usize];
            if level == NO_NODE || self.links.live[element as usize] == 0 {
                continue;
            }
            let whole = (0..=level)
                .flat_map(|layer| self.links.ids(element, layer))
                .all(|link| self.links.live[link as usize] > 0);
            if whole {
                continue;
            }
            let id = ElementId(u64::from(element));
            let mut writer = Writer { vectors: &self.vectors, links: &mut self.links };
            let relinked = hnsw::relink(&mut writer, id, level, options, &mut self.workspace)?;
            let Some((vector, plan)) = relinked else { continue };
            writer.links.set(element, &plan);
            hnsw::link(&mut writer, id, &vector, &plan, options)?;
        }
        let live = |&element: &u32| {
            self.links.levels[element as usize] != NO_NODE && self.links.live[element as usize] > 0
        };
        let highest = (0..count).filter(live).max_by_key(|&element| {
            (self.links.levels[element as usize], core::cmp::Reverse(element))
        });
        self.links.entry = highest;
        for element in 0..count {
            if self.links.live[element as usize] == 0 {
                self.links.clear(element);
            }
        }
        Ok(())
    }

    /// The index as bytes, which [`HnswIndex::from_bytes`] reads on any host.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut writer = ByteWriter::new(Kind::Hnsw)?;
        writer.u32(u32::from(self.links.options.m))?;
        writer.u32(u32::from(self.links.options.ef_construction))?;
        writer.u32(u32::from(self.ef_search))?;
        writer.u64(self.random.state())?;
        writer.vectors(&self.vectors)?;
        writer.bytes(&self.links.levels)?;
        writer.u32s(&self.first)?;
        for &removed in &self.removed {
            writer.bytes(&[u8::from(removed)])?;
        }
        writer.u32(self.links.entry.unwrap_or(NONE))?;
        writer.u64(self.links.places.len() as u64)?;
        writer.u32s(&self.links.places)?;
        writer.finish()
    }

    /// An index of its bytes. All of it is checked: a search in what was read cannot fail for what was stored.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they are not those that were written, [`Error::OutOfMemory`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let corrupt = |what| Error::Corrupt { what };
        let mut reader = ByteReader::new(bytes, Kind::Hnsw)?;
        let mut option = || u16::try_from(reader.u32()?).map_err(|_| corrupt("an option is wrong"));
        let (m, ef_construction, ef_search) = (option()?, option()?, option()?);
        let options =
            Options::new(m, ef_construction).map_err(|_| corrupt("an option is wrong"))?;
        if ef_search == 0 {
            return Err(corrupt("an option is wrong"));
        }
        let random = SplitMix64::new(reader.u64()?);
        let vectors = reader.vectors()?;
        let count = vectors.len();
        let mut levels = Vec::new();
        let stored = reader.bytes(count)?;
        levels.try_reserve_exact(count)?;
        levels.extend_from_slice(stored);
        let first = reader.u32s(count)?;
        let stored = reader.bytes(count)?;
        let mut removed = Vec::new();
        removed.try_reserve_exact(count)?;
        removed.extend(stored.iter().map(|&byte| byte != 0));
        if stored.iter().any(|&byte| byte > 1) {
            return Err(corrupt("a mark is neither there nor not"));
        }
        let entry = Some(reader.u32()?).filter(|&entry| entry != NONE);
        let places = usize::try_from(reader.u64()?).map_err(|_| corrupt("it ends too early"))?;
        let places = reader.u32s(places)?;
        reader.finish()?;

        let mut links = Links::from_parts(options, levels, places, entry, &vectors)?;
        let mut next = Vec::new();
        next.try_reserve_exact(count)?;
        next.resize(count, NONE);
        // In the order in which they were added, so that the lists come out as they were.
        for (id, &twin) in (0u32..).zip(&first) {
            let is_node = links.levels[id as usize] != NO_NODE;
            let twin_is_node = links.levels.get(twin as usize).is_some_and(|&l| l != NO_NODE);
            if is_node != (twin == id) || twin > id || !twin_is_node {
                return Err(corrupt("a vector stands at no element"));
            }
            if vectors.get(id) != vectors.get(twin) {
                return Err(corrupt("a vector stands at an element that it does not equal"));
            }
            if twin != id {
                next[id as usize] = next[twin as usize];
                next[twin as usize] = id;
            }
            links.live[twin as usize] += u32::from(!removed[id as usize]);
        }
        let workspace = Workspace::new()?;
        Ok(Self { ef_search, random, vectors, links, first, next, removed, workspace })
    }

    /// Writes the index to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::OutOfMemory`].
    #[cfg(feature = "std")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::bytes::save(path.as_ref(), &self.to_bytes()?)
    }

    /// Reads an index from a file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::OutOfMemory`].
    #[cfg(feature = "std")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::from_bytes(&std::fs::read(path)?)
    }
}
