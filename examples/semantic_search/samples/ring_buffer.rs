//! A queue of fixed size that forgets.

/// Keeps the last `capacity` items that were pushed.
pub struct RingBuffer<T> {
    items: Vec<T>,
    /// Where the oldest item is, once the buffer is full.
    oldest: usize,
    capacity: usize,
}

impl<T> RingBuffer<T> {
    /// An empty buffer. It allocates its memory at once.
    pub fn with_capacity(capacity: usize) -> RingBuffer<T> {
        RingBuffer { items: Vec::with_capacity(capacity), oldest: 0, capacity }
    }

    /// Adds an item. If the buffer is full, it overwrites the oldest one and returns it.
    pub fn push(&mut self, item: T) -> Option<T> {
        if self.capacity == 0 {
            return Some(item);
        }
        if self.items.len() < self.capacity {
            self.items.push(item);
            return None;
        }
        let slot = &mut self.items[self.oldest];
        self.oldest = (self.oldest + 1) % self.capacity;
        Some(std::mem::replace(slot, item))
    }

    /// All items from the oldest to the newest.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (newer, older) = self.items.split_at(self.oldest);
        older.iter().chain(newer)
    }
}
