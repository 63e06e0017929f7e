//! How results look to a person: data on standard output, everything else on standard error.

pub mod plan;
pub mod progress;
pub mod report;
pub mod status;
pub mod style;

/// A text that cannot move the cursor or end the line: control characters are shown by their escapes.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// `1 database`, `2 databases`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
