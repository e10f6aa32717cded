//! What a call is doing: who has waited for too long is told where it hangs.

use std::sync::{Mutex, PoisonError};

/// The step of one call, in words that follow "still at: ".
#[derive(Default)]
pub struct Step(Mutex<&'static str>);

impl Step {
    pub fn begin(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    pub fn now(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
