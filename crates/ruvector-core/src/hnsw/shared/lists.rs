//! A graph in shared memory that is complete.

use core::sync::atomic::Ordering;

use super::super::connect::Lists;
use super::{Shared, unmarked};

impl Lists for Shared<'_> {
    fn count(&self) -> u32 {
        self.len()
    }

    fn level(&self, element: u32) -> Option<u8> {
        self.head(element).map(|head| head.level.load(Ordering::Relaxed) as u8)
    }

    fn entry(&self) -> Option<u32> {
        self.entry_level().map(|(entry, _)| entry)
    }

    fn each_link(&self, element: u32, layer: u8, mut see: impl FnMut(u32, f32)) {
        let Some(list) = self.list(element, layer) else { return };
        for at in 0..list.len() {
            let (link, distance) = list.link(at);
            see(unmarked(link), distance);
        }
    }

    fn room(&self) -> usize {
        self.options.max_links(0)
    }

    fn put(&mut self, element: u32, at: usize, link: u32, distance: f32) {
        let Some(list) = self.list(element, 0) else { return };
        let count = list.len().max(at + 1);
        if at < list.places.len() {
            list.set(at, link, distance);
            list.count.store(count as u64, Ordering::Release);
        }
    }
}
