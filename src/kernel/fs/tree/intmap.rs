//! A persistent map from dense integers: the inode table.
//!
//! A radix tree of shared nodes. A clone shares all of them; a change copies the nodes on the way
//! to its key that a clone still shares (32 pointers each, one node per 5 bits of the largest key).

use std::array;
use std::sync::Arc;

const BITS: u32 = 5;
const WIDTH: usize = 1 << BITS;

// The lint cannot size `T`; it is a pointer, so the variants are of one size.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Node<T> {
    Branch([Option<Arc<Node<T>>>; WIDTH]),
    Leaf([Option<T>; WIDTH]),
}

impl<T: Clone> Clone for Node<T> {
    fn clone(&self) -> Node<T> {
        match self {
            Node::Branch(children) => Node::Branch(children.clone()),
            Node::Leaf(values) => Node::Leaf(values.clone()),
        }
    }
}

#[derive(Debug)]
pub(super) struct IntMap<T> {
    root: Arc<Node<T>>,
    /// Levels of branches above the leaves.
    height: u32,
}

impl<T> Clone for IntMap<T> {
    fn clone(&self) -> IntMap<T> {
        IntMap { root: Arc::clone(&self.root), height: self.height }
    }
}

impl<T> Default for IntMap<T> {
    fn default() -> IntMap<T> {
        IntMap { root: Arc::new(Node::Leaf(array::from_fn(|_| None))), height: 0 }
    }
}

/// Which child of a node `level` above the leaves has `key`.
fn slot(key: u64, level: u32) -> usize {
    let digit = key.checked_shr(level * BITS).unwrap_or(0) % WIDTH as u64;
    usize::try_from(digit).expect("less than WIDTH")
}

impl<T> IntMap<T> {
    fn covers(&self, key: u64) -> bool {
        key.checked_shr((self.height + 1) * BITS).unwrap_or(0) == 0
    }

    pub(super) fn get(&self, key: u64) -> Option<&T> {
        if !self.covers(key) {
            return None;
        }
        let mut node = &*self.root;
        let mut level = self.height;
        loop {
            match node {
                Node::Leaf(values) => return values[slot(key, 0)].as_ref(),
                Node::Branch(children) => node = children[slot(key, level)].as_deref()?,
            }
            level -= 1;
        }
    }
}

impl<T: Clone> IntMap<T> {
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        // Looks first, so that a miss copies nothing.
        self.get(key)?;
        let mut node = Arc::make_mut(&mut self.root);
        let mut level = self.height;
        loop {
            match node {
                Node::Leaf(values) => return values[slot(key, 0)].as_mut(),
                Node::Branch(children) => {
                    node = Arc::make_mut(children[slot(key, level)].as_mut()?);
                }
            }
            level -= 1;
        }
    }

    pub(super) fn insert(&mut self, key: u64, value: T) {
        while !self.covers(key) {
            let mut children = array::from_fn(|_| None);
            children[0] = Some(Arc::clone(&self.root));
            self.root = Arc::new(Node::Branch(children));
            self.height += 1;
        }
        let mut node = Arc::make_mut(&mut self.root);
        let mut level = self.height;
        loop {
            match node {
                Node::Leaf(values) => {
                    values[slot(key, 0)] = Some(value);
                    return;
                }
                Node::Branch(children) => {
                    let child = children[slot(key, level)].get_or_insert_with(|| {
                        Arc::new(if level == 1 {
                            Node::Leaf(array::from_fn(|_| None))
                        } else {
                            Node::Branch(array::from_fn(|_| None))
                        })
                    });
                    node = Arc::make_mut(child);
                }
            }
            level -= 1;
        }
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        self.get(key)?;
        remove(Arc::make_mut(&mut self.root), self.height, key)
    }
}

/// Removes `key`, which is there, and the nodes that this leaves empty.
fn remove<T: Clone>(node: &mut Node<T>, level: u32, key: u64) -> Option<T> {
    match node {
        Node::Leaf(values) => values[slot(key, 0)].take(),
        Node::Branch(children) => {
            let child = &mut children[slot(key, level)];
            let below = Arc::make_mut(child.as_mut()?);
            let value = remove(below, level - 1, key);
            let empty = match below {
                Node::Leaf(values) => values.iter().all(Option::is_none),
                Node::Branch(children) => children.iter().all(Option::is_none),
            };
            if empty {
                *child = None;
            }
            value
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn agrees_with_a_hash_map() {
        let mut map = IntMap::default();
        let mut model = HashMap::new();
        let mut snapshots = Vec::new();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for step in 0..20_000u64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let key = match seed % 100 {
                0 => seed >> 8,
                1..10 => (seed >> 8) % 100_000,
                _ => (seed >> 8) % 300,
            };
            match (seed >> 40) % 3 {
                0 => assert_eq!(map.remove(key), model.remove(&key)),
                1 if map.get(key).is_some() => {
                    *map.get_mut(key).unwrap() += 1;
                    *model.get_mut(&key).unwrap() += 1;
                }
                _ => {
                    map.insert(key, step);
                    model.insert(key, step);
                }
            }
            assert_eq!(map.get(key), model.get(&key));
            assert_eq!(map.get_mut(u64::MAX), None);
            if step % 1000 == 0 {
                snapshots.push((map.clone(), model.clone()));
            }
        }
        snapshots.push((map, model));
        for (map, model) in snapshots {
            for (key, value) in &model {
                assert_eq!(map.get(*key), Some(value));
            }
            let there = (0..300).filter(|key| map.get(*key).is_some()).count();
            assert_eq!(there, model.keys().filter(|key| **key < 300).count());
        }
    }
}
