//! A list that only grows, which is read without a lock: a fork may stop its readers and writers anywhere.

use std::sync::OnceLock;

/// A list that only grows; readers never wait.
pub(super) struct Grown<T> {
    newest_last: OnceLock<Box<Node<T>>>,
}

struct Node<T> {
    value: T,
    next: Grown<T>,
}

impl<T> Grown<T> {
    pub const fn new() -> Self {
        Self { newest_last: OnceLock::new() }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let mut at = self;
        std::iter::from_fn(move || {
            let node = at.newest_last.get()?;
            at = &node.next;
            Some(&node.value)
        })
    }

    pub fn push(&self, value: T) {
        let (mut at, mut value) = (self, Box::new(Node { value, next: Self::new() }));
        loop {
            match at.newest_last.set(value) {
                Ok(()) => return,
                Err(back) => value = back,
            }
            if let Some(node) = at.newest_last.get() {
                at = &node.next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let grown = Grown::new();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let grown = &grown;
                scope.spawn(move || grown.push(number));
            }
        });
        let mut all: Vec<_> = grown.iter().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }
}
