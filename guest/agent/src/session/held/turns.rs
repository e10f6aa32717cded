//! One at a time in each volume of the share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, Weak<Queue<()>>>>>);

/// Over when it is dropped.
pub type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// For a path of a volume; in the order of the calls.
    pub async fn of(&self, path: &str) -> Turn {
        self.queue(volume_of(path)).lock_owned().await
    }

    fn queue(&self, volume: &str) -> Arc<Queue<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = all.get(volume).and_then(Weak::upgrade) {
            return queue;
        }
        all.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Queue::new(()));
        all.insert(volume.to_owned(), Arc::downgrade(&queue));
        queue
    }
}

/// "/v/a" of "/v/a/b/c".
pub fn volume_of(path: &str) -> &str {
    let end = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
    path.get(..end).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::volume_of;

    #[test]
    fn knows_the_volume_of_a_path() {
        for (path, volume) in [("/v/a/b/c", "/v/a"), ("/v/a", "/v/a"), ("/c/x/rootfs", "/c/x"), ("", "")] {
            assert_eq!(volume_of(path), volume);
        }
    }
}
