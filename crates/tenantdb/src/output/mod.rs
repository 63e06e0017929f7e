//! How results look to a person: data on standard output, everything else on standard error.

pub mod plan;
pub mod progress;
pub mod report;
pub mod status;
pub mod style;

use style::{FAINT, of_sign};

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
        anstream::println!("{indent}{style}{sign}{style:#} {text:<width$}  {FAINT}# {reason}{FAINT:#}{remark}");
    }
}

/// `1 database`, `2 databases`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
