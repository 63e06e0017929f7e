//! How far a pass has come: a bar, on a terminal only.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tenantdb_core::{Event, Listener};

use super::style;

/// A bar over the tenants of a pass.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many tenants; invisible when standard error is no terminal.
    pub fn new(tenants: usize) -> Self {
        let bar = ProgressBar::new(u64::try_from(tenants).unwrap_or(u64::MAX));
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }

    /// What moves the bar.
    pub fn listener(&self) -> Arc<dyn Listener> {
        let bar = self.0.clone();
        let told = AtomicBool::new(false);
        Arc::new(move |event| match event {
            Event::Started(claim) => bar.set_message(claim.path()),
            // Without a bar it is told once, whatever the number of those that wait.
            Event::Waiting(claim, what) if bar.is_hidden() => {
                if !told.swap(true, Ordering::Relaxed) {
                    style::note(&format!("{}: {what}", claim.path()));
                }
            }
            Event::Waiting(claim, what) => bar.set_message(format!("{}: {what}", claim.path())),
            Event::Finished(_) => bar.inc(1),
        })
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
