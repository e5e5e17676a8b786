//! A progress bar for work that takes longer than a second, on stderr, where a person sees it.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

const BYTES_OF: &str = "{msg} {wide_bar:.cyan/dim} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} to go";
const BYTES: &str = "{spinner} {msg} {binary_bytes}, {binary_bytes_per_sec}";
const SPINNER: &str = "{spinner} {msg}… {elapsed}";

/// Counts bytes, and shows the count once the work has taken a second.
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    /// To be shown, and not shown yet.
    waits: bool,
}

impl Progress {
    /// `message` says what is being done; `total` is the number of bytes, where it is known.
    pub(crate) fn new(out: &Output, message: &'static str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let bar = bar.with_message(message).with_style(style(if total.is_some() { BYTES_OF } else { BYTES }));
        Self { bar, started: Instant::now(), waits: seen(out) }
    }

    /// So many more bytes are done.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.at(self.bar.position() + bytes);
    }

    /// So many bytes are done.
    pub(crate) fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.waits && self.started.elapsed() >= PATIENCE {
            self.waits = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Waits for work that can't be counted; after a second it shows that it is going on.
pub(crate) async fn spin<T>(out: &Output, message: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let started = Instant::now();
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE), if seen(out) => {}
    }
    let bar = ProgressBar::new_spinner().with_message(message).with_elapsed(started.elapsed()).with_style(style(SPINNER));
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = work.await;
    bar.finish_and_clear();
    done
}

fn seen(out: &Output) -> bool {
    !out.is_json() && io::stderr().is_terminal()
}

fn style(template: &'static str) -> ProgressStyle {
    // the templates above are right, as the test below says
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_right() {
        for template in [BYTES_OF, BYTES, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
