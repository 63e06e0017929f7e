//! Colours, which are used on a terminal only, and the shape of messages.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

use super::{printable, tell};

/// Something made, or well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something changed, or to be looked at.
pub const CHANGED: Style = AnsiColor::Yellow.on_default();
/// Something removed, or failed.
pub const BAD: Style = AnsiColor::Red.on_default();
/// A name that stands out.
pub const STRONG: Style = Style::new().bold();
/// What may be overlooked.
pub const FAINT: Style = Style::new().dimmed();

/// The style of a change's sign.
pub fn of_sign(sign: char) -> Style {
    match sign {
        '+' => GOOD,
        '-' => BAD,
        _ => CHANGED,
    }
}

/// Whether messages may have colours.
pub fn colours_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Tells of an error, and what to do next.
pub fn error(message: &str, hint: Option<&str>) {
    print(BAD, "error", message, hint);
}

/// Tells of something that goes on all the same.
pub fn warning(message: &str, hint: &str) {
    print(CHANGED, "warning", message, Some(hint));
}

/// Tells of something that should be known.
pub fn note(message: &str) {
    print(FAINT, "note", message, None);
}

fn print(style: Style, word: &str, message: &str, hint: Option<&str>) {
    tell!("{style}{word}{style:#}: {}", printable(message));
    if let Some(hint) = hint {
        tell!("  {FAINT}hint:{FAINT:#} {}", printable(hint));
    }
}
