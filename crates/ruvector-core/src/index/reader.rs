//! Searching a graph in memory.

use alloc::vec::Vec;

use super::{Metric, Vectors};
use crate::error::{Error, Result};
use crate::hnsw::graph::{Links, VectorTable, add_links, entry_point, number};
use crate::hnsw::{ElementId, EntryPoint, Store, Visit};
use crate::kernels::{self, Kernels};

impl<'a> VectorTable for &'a Vectors {
    type View = &'a [f32];

    #[inline]
    fn get(self, element: u32) -> Option<&'a [f32]> {
        Vectors::get(self, element)
    }

    #[inline]
    fn order(self, a: &'a [f32], b: &'a [f32]) -> f32 {
        let order = Vectors::order(self, a, b);
        if order.is_nan() { f32::INFINITY } else { order }
    }

    #[inline]
    fn prefetch(self, element: u32) {
        Vectors::prefetch(self, element);
    }
}

/// To search.
pub(super) struct Reader<'a> {
    vectors: &'a Vectors,
    metric: Metric,
    kernels: &'static Kernels,
    links: &'a Links,
}

impl<'a> Reader<'a> {
    pub(super) fn new(vectors: &'a Vectors, links: &'a Links) -> Self {
        Self { vectors, metric: vectors.metric(), kernels: kernels::detect(), links }
    }
}

impl<'a> Store for Reader<'a> {
    type Vector = &'a [f32];
    type Error = Error;

    fn entry_point(&mut self) -> Result<Option<EntryPoint>> {
        Ok(entry_point(self.links))
    }

    fn links(&mut self, element: ElementId, layer: u8, into: &mut Vec<ElementId>) -> Result<()> {
        add_links(self.links, element, layer, into)
    }

    #[inline]
    fn visit(&mut self, query: &&'a [f32], element: ElementId, _: u8) -> Result<Option<Visit>> {
        let element = number(element);
        let Some(vector) = self.vectors.get(element) else { return Ok(None) };
        let distance = self.metric.order(self.kernels, query, vector);
        let live = self.links.live.get(element as usize).is_some_and(|&live| live > 0);
        Ok(Some(Visit { distance, live }))
    }

    #[inline]
    fn prefetch(&mut self, element: ElementId) {
        self.vectors.prefetch(number(element));
    }

    fn id_bound(&self) -> Option<u64> {
        Some(self.links.levels.len() as u64)
    }
}
