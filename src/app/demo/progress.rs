//! How far the demo is, for the person in front of it: a bar on a terminal, a plain line now and then elsewhere.
//!
//! Counts come from whoever runs the demo; everything goes to stderr, so that stdout holds the report alone. A stderr
//! that cannot be written is not worth failing for. Nothing here decides anything.

use std::fmt;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The least time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// The bar takes what the counts leave of the terminal's width.
const BAR_TEMPLATE: &str = "demo [{wide_bar}] {pos}/{len}, {msg}";

/// Shows the progress of deliveries.
#[derive(Debug)]
pub struct Progress(Shown);

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines(Lines),
    Nothing,
}

impl Progress {
    /// Begins to show `total` deliveries: as a bar when stderr is a terminal, else as lines.
    pub fn start(total: u64, is_terminal: bool) -> Self {
        if is_terminal {
            Self(Shown::Bar(bar(total, ProgressDrawTarget::stderr())))
        } else {
            Self(Shown::Lines(Lines::new(total)))
        }
    }

    /// Shows nothing, for `--json`.
    pub fn quiet() -> Self {
        Self(Shown::Nothing)
    }

    /// Corrects the total: deliveries that were expected turn out to be skipped when a webhook is deactivated.
    pub fn set_total(&mut self, total: u64) {
        match &mut self.0 {
            Shown::Bar(bar) => bar.set_length(total),
            Shown::Lines(lines) => lines.total = total,
            Shown::Nothing => {}
        }
    }

    /// Shows how many deliveries have ended either way so far, and how many wait for a retry now.
    pub fn update(&mut self, delivered: u64, dead: u64, waiting: u64) {
        let counts = Counts { delivered, dead, waiting };
        match &mut self.0 {
            Shown::Bar(bar) => {
                bar.set_message(counts.to_string());
                bar.set_position(counts.done());
            }
            Shown::Lines(lines) => print(lines.update(Instant::now(), counts)),
            Shown::Nothing => {}
        }
    }

    /// Shows the last counts, if they have not been shown, and ends. The bar stays where it stands: full only when
    /// everything is done.
    pub fn finish(self) {
        match self.0 {
            Shown::Bar(bar) => bar.abandon(),
            Shown::Lines(mut lines) => print(lines.finish()),
            Shown::Nothing => {}
        }
    }
}

fn bar(total: u64, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), target);
    // A test holds that the template is one; were it none, the default style would do.
    bar.set_style(ProgressStyle::with_template(BAR_TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn print(line: Option<String>) {
    if let Some(line) = line {
        // Nobody can be told that stderr is closed.
        let _written = writeln!(io::stderr().lock(), "{line}");
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    delivered: u64,
    dead: u64,
    waiting: u64,
}

impl Counts {
    fn done(self) -> u64 {
        self.delivered.saturating_add(self.dead)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} delivered, {} dead-lettered, {} waiting to retry", self.delivered, self.dead, self.waiting)
    }
}

/// Decides when a plain line is due, and words it.
#[derive(Debug)]
struct Lines {
    total: u64,
    counts: Counts,
    shown: Option<(Instant, Counts)>,
}

impl Lines {
    fn new(total: u64) -> Self {
        Self { total, counts: Counts::default(), shown: None }
    }

    /// The line to show at `now`: when something changed since the last, and that was [`LINE_EVERY`] ago or more.
    fn update(&mut self, now: Instant, counts: Counts) -> Option<String> {
        self.counts = counts;
        let is_due = match self.shown {
            None => true,
            Some((at, shown)) => shown != counts && now.saturating_duration_since(at) >= LINE_EVERY,
        };
        is_due.then(|| {
            self.shown = Some((now, counts));
            self.line()
        })
    }

    fn finish(&mut self) -> Option<String> {
        let is_shown = self.shown.is_some_and(|(_, shown)| shown == self.counts);
        (!is_shown).then(|| self.line())
    }

    fn line(&self) -> String {
        format!("demo: {} of {} deliveries done ({})", self.counts.done(), self.total, self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Counts = Counts { delivered: 1, dead: 0, waiting: 0 };
    const LATER: Counts = Counts { delivered: 30, dead: 12, waiting: 3 };

    #[test]
    fn a_line_says_what_is_done_and_what_waits() {
        let line = Lines::new(115).update(Instant::now(), LATER);
        let expected = "demo: 42 of 115 deliveries done (30 delivered, 12 dead-lettered, 3 waiting to retry)";
        assert_eq!(line.as_deref(), Some(expected));
    }

    #[test]
    fn lines_come_at_most_once_a_second() {
        let (mut lines, start) = (Lines::new(115), Instant::now());
        assert!(lines.update(start, FIRST).is_some());
        assert_eq!(lines.update(start + Duration::from_millis(999), LATER), None);
        assert!(lines.update(start + Duration::from_millis(1000), LATER).is_some());
    }

    #[test]
    fn no_line_repeats_the_last() {
        let (mut lines, start) = (Lines::new(115), Instant::now());
        assert!(lines.update(start, FIRST).is_some());
        assert_eq!(lines.update(start + Duration::from_secs(60), FIRST), None);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn the_end_shows_counts_that_came_too_soon_for_a_line() {
        let (mut lines, start) = (Lines::new(42), Instant::now());
        assert!(lines.update(start, FIRST).is_some());
        assert_eq!(lines.update(start + Duration::from_millis(1), LATER), None);
        assert!(lines.finish().is_some_and(|line| line.starts_with("demo: 42 of 42 deliveries done")));
    }

    #[test]
    fn the_bar_shows_the_counts_and_stays_where_it_stands() {
        ProgressStyle::with_template(BAR_TEMPLATE).expect("a template");
        let hidden = bar(115, ProgressDrawTarget::hidden());
        let mut progress = Progress(Shown::Bar(hidden.clone()));
        progress.update(LATER.delivered, LATER.dead, LATER.waiting);
        progress.set_total(110);
        assert_eq!((hidden.position(), hidden.length()), (42, Some(110)));
        assert_eq!(hidden.message(), "30 delivered, 12 dead-lettered, 3 waiting to retry");
        progress.finish();
        assert_eq!((hidden.position(), hidden.is_finished()), (42, true));
    }
}
