//! Holds back log lines that a failure could multiply: so many a second, and then the count of those held back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind that may be written within [`WINDOW`].
const LINES_PER_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts lines of one kind.
#[derive(Debug)]
pub(super) struct LineLimit(Mutex<Window>);

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    held_back: u64,
}

impl Default for LineLimit {
    fn default() -> Self {
        Self(Mutex::new(Window { began: Instant::now(), written: 0, held_back: 0 }))
    }
}

impl LineLimit {
    /// Whether a line may be written now, and if so, how many were held back before it.
    pub(super) fn allow(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.elapsed() >= WINDOW {
            window.began = Instant::now();
            window.written = 0;
        }
        if window.written >= LINES_PER_WINDOW {
            window.held_back += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_limit() {
        let limit = LineLimit::default();
        let written = (0..1000).filter(|_| limit.allow().is_some()).count();
        assert_eq!(written, LINES_PER_WINDOW as usize);
    }
}
