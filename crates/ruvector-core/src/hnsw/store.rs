//! What a graph is stored in.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::Options;
use super::insert::link_by_distances;
use crate::error::Error;

/// An element of a graph, as its store names it: anything but `u64::MAX`.
///
/// A store whose elements may be replaced by others puts a version into it, and knows by that that an element is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(transparent)]
pub struct ElementId(pub u64);

/// An element and its distance from what is searched for.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The distance; what is not a number counts as infinite.
    pub distance: f32,
    /// The element.
    pub id: ElementId,
    /// It may be a result, or a neighbour of others: it is not about to be removed.
    pub live: bool,
}

impl Candidate {
    /// A candidate that an element has become by a visit.
    pub fn new(id: ElementId, visit: Visit) -> Self {
        let distance = if visit.distance.is_nan() { f32::INFINITY } else { visit.distance };
        Self { distance, id, live: visit.live }
    }
}

/// By distance; of two that are as far, by name, so that the order is always the same.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// Where searches begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EntryPoint {
    /// The element.
    pub id: ElementId,
    /// Its highest layer, which is that of the graph.
    pub level: u8,
}

/// What there is to know of an element that a search comes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visit {
    /// Its distance from what is searched for.
    pub distance: f32,
    /// It is not about to be removed.
    pub live: bool,
}

/// A graph that can be searched.
///
/// Locks and pins are the store's: none needs to outlive a call, as nothing that is returned refers to the store.
pub trait Store {
    /// A vector, or what stands for it: a query, or an element's, which stays readable when nothing is locked.
    type Vector;
    /// The store's own error.
    type Error: From<Error>;

    /// Where searches begin; `None` if there is no element.
    ///
    /// # Errors
    /// The store's.
    fn entry_point(&mut self) -> Result<Option<EntryPoint>, Self::Error>;

    /// Adds the links of an element on a layer to `into`: none if it is gone, or not on that layer.
    ///
    /// # Errors
    /// The store's.
    fn links(
        &mut self,
        element: ElementId,
        layer: u8,
        into: &mut Vec<ElementId>,
    ) -> Result<(), Self::Error>;

    /// The distance of an element from a query, and its state; `None` if it is gone, or not on that layer.
    ///
    /// # Errors
    /// The store's.
    fn visit(
        &mut self,
        query: &Self::Vector,
        element: ElementId,
        layer: u8,
    ) -> Result<Option<Visit>, Self::Error>;

    /// Visits several elements: adds as many entries to `into`. A store for which each call is an effort does it in one.
    ///
    /// # Errors
    /// The store's.
    #[inline]
    fn visit_many(
        &mut self,
        query: &Self::Vector,
        elements: &[ElementId],
        layer: u8,
        into: &mut Vec<Option<Visit>>,
    ) -> Result<(), Self::Error> {
        into.try_reserve(elements.len()).map_err(Error::from)?;
        if let Some(&first) = elements.first() {
            self.prefetch(first);
        }
        for (at, &element) in elements.iter().enumerate() {
            if let Some(&following) = elements.get(at + 1) {
                self.prefetch(following);
            }
            into.push(self.visit(query, element, layer)?);
        }
        Ok(())
    }

    /// A hint that an element will be visited soon: for memory or pages to be fetched.
    fn prefetch(&mut self, element: ElementId) {
        let _ = element;
    }

    /// Called often: an error ends the work.
    ///
    /// # Errors
    /// That of whoever interrupts.
    fn check_interrupts(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// If all names of elements are below a number that is about that of the elements: that number.
    fn id_bound(&self) -> Option<u64> {
        None
    }
}

/// A graph that can be changed.
pub trait LinkStore: Store {
    /// The vector of an element; `None` if it is gone.
    ///
    /// # Errors
    /// The store's.
    fn load(&mut self, element: ElementId) -> Result<Option<Self::Vector>, Self::Error>;

    /// The distance of two vectors.
    ///
    /// # Errors
    /// The store's.
    fn distance(&mut self, a: &Self::Vector, b: &Self::Vector) -> Result<f32, Self::Error>;

    /// Links an element to `added` on a layer, in a free place, or in that of `dropped`. If the place is not free any
    /// more, or `dropped` no longer there, nothing needs to be done; nor if there is a link to `added` already.
    ///
    /// # Errors
    /// The store's.
    fn replace_link(
        &mut self,
        element: ElementId,
        layer: u8,
        dropped: Option<ElementId>,
        added: ElementId,
    ) -> Result<(), Self::Error>;

    /// Links an element to a new one on a layer, if that is one of the best links.
    ///
    /// What there is does so by the distances to all that the element is linked with. A store that keeps those distances
    /// does it faster, with [`super::keep_incrementally`].
    ///
    /// # Errors
    /// The store's.
    fn link_back(
        &mut self,
        element: Candidate,
        layer: u8,
        added: ElementId,
        vector: &Self::Vector,
        options: Options,
    ) -> Result<(), Self::Error>
    where
        Self: Sized,
    {
        link_by_distances(self, element, layer, added, vector, options)
    }
}
