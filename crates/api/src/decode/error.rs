//! What can be wrong with a value, and how that is said.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Expected, Unexpected};

use crate::document::{Node, Value};
use crate::{did_you_mean, nearest};

/// The most of a value that a message repeats.
const MAX_QUOTED_CHARACTERS: usize = 40;

/// Why decoding failed.
#[derive(Debug)]
pub(super) struct DecodeError<'d> {
    pub problem: Problem,
    /// The innermost value it was noticed in; whoever holds that value fills it in.
    pub place: Option<Place<'d>>,
}

/// What is wrong.
#[derive(Debug)]
pub(super) enum Problem {
    UnknownField { field: String, known: &'static [&'static str] },
    MissingField(&'static str),
    WrongType { expected: String },
    UnknownVariant { known: &'static [&'static str] },
    Other(String),
}

/// Where it is wrong.
#[derive(Debug)]
pub(super) struct Place<'d> {
    /// The path from the document's root.
    pub path: String,
    /// Where to point at.
    pub at: Range<usize>,
    /// The value that has to go for the rest to be decoded.
    pub node: &'d Node,
}

impl<'d> DecodeError<'d> {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { problem, place: None }
    }

    /// The same error with its place, unless it has one that is further inside.
    pub(crate) fn within(mut self, place: impl FnOnce() -> Place<'d>) -> Self {
        self.place.get_or_insert_with(place);
        self
    }
}

impl fmt::Display for DecodeError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for DecodeError<'_> {}

impl de::Error for DecodeError<'_> {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::WrongType { expected: expected.to_string() })
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::WrongType { expected: expected.to_string() })
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownVariant { known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownField { field: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::MissingField(field))
    }
}

/// A message and a hint.
pub(super) type Words = (String, Option<String>);

pub(super) fn unknown_field(path: &str, field: &str, known: &[&str]) -> Words {
    let otherwise = if known.is_empty() {
        "there are no fields here".to_owned()
    } else {
        format!("the fields here are {}", known.join(", "))
    };
    (format!("unknown field `{path}`"), Some(did_you_mean(field, known.iter().copied(), otherwise)))
}

pub(super) fn unknown_variant(text: &str, node: &Node, path: &str, known: &[&str]) -> Words {
    let (last, others) = known.split_last().map_or(("nothing", &[][..]), |(last, others)| (*last, others));
    let choice = if others.is_empty() { last.to_owned() } else { format!("{} or {last}", others.join(", ")) };
    let hint = match &node.value {
        Value::Text(word) => nearest(word, known.iter().copied()).map(|known| format!("did you mean `{known}`?")),
        _ => None,
    };
    (format!("{path} must be {choice}, not {}", what_it_is(text, node)), hint)
}

pub(super) fn wrong_type(text: &str, node: &Node, path: &str, expected: &str) -> Words {
    let expected = expectation(expected);
    let path = if path.is_empty() { "a declaration" } else { path };
    (format!("{path} must be {expected}, not {}", what_it_is(text, node)), way_out(text, node, expected))
}

/// What serde calls a type, in the words of this crate's users.
fn expectation(serde: &str) -> &str {
    match serde {
        "a string" | "string" | "str" | "a borrowed string" => "text",
        "path string" => "a path",
        "a boolean" => "`true` or `false`",
        "u16" => "a port from 1 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a mapping",
        _ if serde.starts_with("struct ") => "a mapping",
        other => other,
    }
}

fn what_it_is(text: &str, node: &Node) -> String {
    match &node.value {
        Value::Null => "empty".to_owned(),
        Value::Boolean(_) => format!("the boolean `{}`", spelling(text, node)),
        Value::Negative(_) | Value::Unsigned(_) | Value::Float(_) => format!("the number `{}`", spelling(text, node)),
        Value::Text(word) => format!("the text `{}`", shortened(word)),
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
    }
}

/// What to do when a value is of another type than its field.
fn way_out(text: &str, node: &Node, expected: &str) -> Option<String> {
    let number = || expected.starts_with("a whole number") || expected.starts_with("a port");
    match &node.value {
        Value::Boolean(_) | Value::Negative(_) | Value::Unsigned(_) | Value::Float(_) if expected == "text" => {
            Some(format!("put it in quotes: `\"{}\"`", spelling(text, node)))
        }
        Value::Text(word) if number() && word.trim().parse::<i64>().is_ok() => {
            Some(format!("write it without quotes: `{}`", word.trim()))
        }
        Value::Text(word) if expected == "`true` or `false`" => match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Some("write `true`, without quotes".to_owned()),
            "false" | "no" | "n" | "off" => Some("write `false`, without quotes".to_owned()),
            _ => None,
        },
        Value::Text(_) | Value::Mapping(_) if expected == "a list" => {
            Some("begin each element with `- `, on lines of their own".to_owned())
        }
        _ => None,
    }
}

/// A scalar as it is written in the source.
fn spelling(text: &str, node: &Node) -> String {
    shortened(text.get(node.span.clone()).unwrap_or_default().trim())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
