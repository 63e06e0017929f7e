//! How results look to a person: data on standard output, everything else on standard error.

pub mod plan;
pub mod progress;
pub mod report;
pub mod status;
pub mod style;

use std::fmt;
use std::io::{self, Write};

use style::{FAINT, of_sign};

/// Prints a line to standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(anstream::stdout(), format_args!($($text)*)) };
}

/// Prints a line to standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::line(anstream::stderr(), format_args!($($text)*)) };
}

pub(crate) use {say, tell};

/// Prints a line. Whoever stopped listening (`| head`) stops no work.
///
/// # Panics
/// When it can't be written for any other reason, such as a full disk.
pub fn line(mut to: impl Write, text: fmt::Arguments<'_>) {
    match writeln!(to, "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => panic!("can't print: {error}"),
        _ => {}
    }
}

/// A text that cannot move the cursor or end the line: control characters are shown by their escapes.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// The widest change that reasons are lined up behind; those of wider ones follow right after them.
const WIDEST: usize = 60;

/// A line of a plan or a report.
pub struct Change {
    /// `+`, `~` or `-`.
    pub sign: char,
    /// What.
    pub text: String,
    /// Why.
    pub reason: String,
    /// What stands behind that.
    pub remark: String,
}

/// Prints changes below each other, their reasons lined up.
pub fn print_changes(indent: &str, changes: &[Change]) {
    let widths = changes.iter().map(|change| change.text.chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
    for Change { sign, text, reason, remark } in changes {
        let style = of_sign(*sign);
        say!("{indent}{style}{sign}{style:#} {text:<width$}  {FAINT}# {reason}{FAINT:#}{remark}");
    }
}

/// `1 database`, `2 databases`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
