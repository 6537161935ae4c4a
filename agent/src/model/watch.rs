//! Where a loop stands, as others may see it: the loop writes, the status page reads.

use std::sync::{Arc, Mutex, PoisonError};

/// A state with one writer; cheap to clone.
#[derive(Debug, Default)]
pub struct Watch<State>(Arc<Mutex<State>>);

impl<State> Clone for Watch<State> {
    fn clone(&self) -> Self {
        Watch(Arc::clone(&self.0))
    }
}

impl<State: Clone> Watch<State> {
    pub fn get(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
