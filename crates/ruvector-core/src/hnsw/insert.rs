//! Algorithm 1: new elements, and new links of old ones.

use alloc::vec::Vec;

use super::Options;
use super::scan::Layer;
use super::select::{drop_one, select};
use super::store::{Candidate, ElementId, LinkStore};
use crate::error::Error;

/// Which elements an element is to be linked with.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// For each layer, from the lowest on, the elements to link with.
    pub links: Vec<Vec<Candidate>>,
    /// All candidates on the lowest layer in order of distance: duplicates are at its beginning.
    pub nearest: Vec<Candidate>,
}

/// Memory that [`plan`] uses again and again.
#[derive(Clone, Debug)]
pub struct Workspace(Layer);

impl Workspace {
    /// Without anything yet.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new() -> Result<Self, Error> {
        Ok(Self(Layer::new()?))
    }

    /// Bytes of memory in use.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}

/// Chooses the links of an element with a vector, on the layers up to `level`.
///
/// For an element that is in the graph already and gets new links, `existing` is its name; it is not linked with itself.
/// The caller then writes the element with these links, makes it the entry point if its level is above that of the entry
/// point, and calls [`link`].
///
/// # Errors
/// The store's, and [`Error::OutOfMemory`].
pub fn plan<S: LinkStore>(
    store: &mut S,
    vector: &S::Vector,
    level: u8,
    options: Options,
    existing: Option<ElementId>,
    workspace: &mut Workspace,
) -> Result<Plan, S::Error> {
    let mut plan = Plan::default();
    plan.links.try_reserve_exact(usize::from(level) + 1).map_err(Error::from)?;
    plan.links.resize_with(usize::from(level) + 1, Vec::new);
    let Some(entry) = store.entry_point()? else { return Ok(plan) };
    let search = &mut workspace.0;
    search.descend(store, vector, entry, level.min(entry.level))?;
    // An element that is in the graph finds itself, and is not to take a place.
    let ef = usize::from(options.ef_construction) + usize::from(existing.is_some());
    for layer in (0..=level.min(entry.level)).rev() {
        search.reset(store, ef.saturating_mul(16))?;
        let entries = core::mem::take(&mut search.found);
        for entry in &entries {
            search.visited.insert(entry.id)?;
        }
        search.search(store, vector, entries.iter().copied(), (ef, layer), None)?;

        let usable = |candidate: &&Candidate| candidate.live && existing != Some(candidate.id);
        let mut candidates = Vec::new();
        candidates.try_reserve_exact(search.found.len()).map_err(Error::from)?;
        candidates.extend(search.found.iter().filter(usable));
        let selected = select(store, &candidates, options.max_links(layer))?;
        plan.links[usize::from(layer)] = selected;
        if layer == 0 {
            plan.nearest = candidates;
        }
    }
    Ok(plan)
}

/// Links the elements that a new one is linked with back to it.
///
/// # Errors
/// The store's, and [`Error::OutOfMemory`].
pub fn link<S: LinkStore>(
    store: &mut S,
    element: ElementId,
    vector: &S::Vector,
    plan: &Plan,
    options: Options,
) -> Result<(), S::Error> {
    for (layer, links) in (0u8..).zip(&plan.links) {
        for &candidate in links {
            store.check_interrupts()?;
            store.link_back(candidate, layer, element, vector, options)?;
        }
    }
    Ok(())
}

/// Chooses new links for an element that is in the graph, because some of its links lead to elements that are about to be
/// removed. The caller writes them, and calls [`link`].
///
/// # Errors
/// The store's, and [`Error::OutOfMemory`].
pub fn relink<S: LinkStore>(
    store: &mut S,
    element: ElementId,
    level: u8,
    options: Options,
    workspace: &mut Workspace,
) -> Result<Option<(S::Vector, Plan)>, S::Error> {
    let Some(vector) = store.load(element)? else { return Ok(None) };
    let plan = plan(store, &vector, level, options, Some(element), workspace)?;
    Ok(Some((vector, plan)))
}

/// [`LinkStore::link_back`] for any store.
pub(super) fn link_by_distances<S: LinkStore>(
    store: &mut S,
    element: Candidate,
    layer: u8,
    added: ElementId,
    vector: &S::Vector,
    options: Options,
) -> Result<(), S::Error> {
    let mut links = Vec::new();
    store.links(element.id, layer, &mut links)?;
    if links.contains(&added) {
        return Ok(());
    }
    if links.len() < options.max_links(layer) {
        return store.replace_link(element.id, layer, None, added);
    }
    let Some(base) = store.load(element.id)? else { return Ok(()) };
    let mut candidates: Vec<(Candidate, Option<S::Vector>)> = Vec::new();
    candidates.try_reserve_exact(links.len() + 1).map_err(Error::from)?;
    for id in links {
        let visit = store.visit(&base, id, layer)?;
        let vector = store.load(id)?;
        match (visit, vector) {
            (Some(visit), Some(vector)) if visit.live => {
                candidates.push((Candidate::new(id, visit), Some(vector)));
            }
            // Of no use any more.
            _ => return store.replace_link(element.id, layer, Some(id), added),
        }
    }
    let own = Candidate { id: added, live: true, ..element };
    candidates.push((own, None));
    candidates.sort_by_key(|(candidate, _)| *candidate);
    let dropped = drop_one(store, &candidates, vector)?;
    if dropped == Some(added) {
        return Ok(());
    }
    store.replace_link(element.id, layer, dropped, added)
}
