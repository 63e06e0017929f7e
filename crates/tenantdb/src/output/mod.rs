//! How results look to a person: data on standard output, everything else on standard error.

pub mod json;
pub mod markdown;
pub mod plan;
pub mod progress;
pub mod report;
pub mod style;
pub mod table;
pub mod units;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstream::adapter::strip_str;
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use style::{FAINT, of_sign};

/// Prints a line to standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(std::io::stdout(), format_args!($($text)*)) };
}

/// Prints a line to standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::line(std::io::stderr(), format_args!($($text)*)) };
}

pub(crate) use {say, tell};

/// Whether anything that should have been printed was lost.
static LOST: AtomicBool = AtomicBool::new(false);

/// Prints a line, or several, in one go. Whoever stopped listening (`| head`) stops no work, and neither does a full
/// disk; but that is told.
pub fn line(mut to: impl RawStream, text: fmt::Arguments<'_>) {
    let text = format!("{text}\n");
    let text = match AutoStream::choice(&to) {
        ColorChoice::Never => strip_str(&text).to_string(),
        _ => text,
    };
    let Err(error) = to.write_all(text.as_bytes()) else { return };
    if error.kind() != io::ErrorKind::BrokenPipe && !LOST.swap(true, Ordering::Relaxed) {
        // Where this can't be told either, the exit code tells it.
        let _ = writeln!(io::stderr(), "error: can't print: {error}");
    }
}

/// Whether all was printed that somebody wanted to read.
pub fn is_whole() -> bool {
    !LOST.load(Ordering::Relaxed)
}

/// A text that cannot move the cursor or end the line: control characters are shown by their escapes.
pub fn printable<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    if !text.contains(char::is_control) {
        return text;
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// The widest change that reasons are lined up behind; those of wider ones follow right after them.
const WIDEST: usize = 60;

/// A line of a plan or a report.
pub struct Change<'a> {
    /// `+`, `~` or `-`.
    pub sign: char,
    /// What.
    pub text: Cow<'a, str>,
    /// Why.
    pub reason: Cow<'a, str>,
    /// What stands behind that.
    pub remark: String,
}

/// Prints changes below each other and below their title, their reasons lined up.
pub fn print_changes(title: &str, indent: &str, changes: &[Change<'_>]) {
    let widths = changes.iter().map(|change| change.text.chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let lines = fmt::from_fn(|f| {
        changes.iter().try_for_each(|Change { sign, text, reason, remark }| {
            let style = of_sign(*sign);
            write!(f, "\n{indent}{style}{sign}{style:#} {text:<width$}  {FAINT}# {reason}{FAINT:#}{remark}")
        })
    });
    say!("{title}{lines}");
}

/// `1 database`, `2 databases`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
