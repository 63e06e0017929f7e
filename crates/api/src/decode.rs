//! From trees to types: all that is wrong with a document at once, each thing where it stands.

mod deserializer;
mod error;

use std::ptr;

use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostic;
use crate::document::{Document, Node, Resolved, Value};
use deserializer::NodeDeserializer;
use error::{DecodeError, Place, Problem};

/// More errors than anyone mends at a time; each costs a pass over the document.
const MAX_ERRORS: usize = 50;

/// What became of a document.
pub(crate) struct Decoded<'d, T> {
    /// The object, as far as it could be decoded.
    pub object: Option<T>,
    /// What is wrong.
    pub problems: Vec<Diagnostic>,
    /// What was left out of the object.
    left_out: Vec<&'d Node>,
}

impl<T> Decoded<'_, T> {
    /// Whether the object holds what the document says at `path`, so that what its validation finds there is the
    /// author's doing, not that of something left out.
    pub(crate) fn is_faithful_at(&self, document: &Document, path: &str) -> bool {
        let out = |node: &Node| self.left_out.iter().any(|other| ptr::eq(*other, node));
        let resolved = Resolved::new(document.root(), path);
        let shifted = |node: &&Node| matches!(&node.value, Value::List(items) if items.iter().any(out));
        self.left_out.is_empty()
            || (resolved.complete
                && !resolved.nodes.iter().copied().any(out)
                && !resolved.nodes.iter().any(shifted)
                && !resolved.nodes.last().is_some_and(|node| node.walk().any(out)))
    }
}

/// Decodes a document, without those of its fields that are in `ignored`. On an error the value that caused it is left
/// out and the document decoded again, until nothing is wrong any more or a required field is what is missing.
pub(crate) fn decode<'d, T: DeserializeOwned>(document: &'d Document, ignored: &[&str]) -> Decoded<'d, T> {
    let root = document.root();
    let mut left_out: Vec<&Node> = Vec::new();
    let mut hidden: Vec<&Node> = ignored.iter().filter_map(|key| root.get(key)).map(|entry| &entry.value).collect();
    let mut problems = Vec::new();
    let object = loop {
        let error = match T::deserialize(NodeDeserializer::root(document, &hidden)) {
            Ok(object) => break Some(object),
            Err(error) => error,
        };
        let DecodeError { problem, place } = error;
        let place = place.unwrap_or_else(|| Place { path: String::new(), at: root.start(), node: root });
        if !follows_from(&left_out, &problem, place.node) {
            problems.push(describe(document, &problem, &place));
        }
        if left_out.len() == MAX_ERRORS {
            problems.push(document.error_at_start("there is more wrong with this document than is shown"));
            break None;
        }
        if ptr::eq(place.node, root) {
            break None;
        }
        left_out.push(place.node);
        hidden.push(place.node);
    };
    Decoded { object, problems, left_out }
}

/// Whether a field is only missing because it was left out, for an error that was told already.
fn follows_from(left_out: &[&Node], problem: &Problem, node: &Node) -> bool {
    let Problem::MissingField(field) = problem else { return false };
    node.get(field).is_some_and(|entry| left_out.iter().any(|out| ptr::eq(*out, &raw const entry.value)))
}

fn describe(document: &Document, problem: &Problem, place: &Place<'_>) -> Diagnostic {
    let node = place.node;
    let (message, hint) = match problem {
        Problem::UnknownField { field, known } => error::unknown_field(&place.path, field, known),
        Problem::MissingField(field) => {
            let path = if place.path.is_empty() { (*field).to_owned() } else { format!("{}.{field}", place.path) };
            let empty = node.get(field);
            let message = format!("{path} {}", if empty.is_some() { "is empty" } else { "is missing" });
            let at = empty.map_or_else(|| place.at.clone(), |entry| entry.key_span.clone());
            return Diagnostic::error(message).at(document.position(at));
        }
        Problem::WrongType { expected } => error::wrong_type(document.text(), node, &place.path, expected),
        Problem::UnknownVariant { known } => error::unknown_variant(document.text(), node, &place.path, known),
        Problem::Other(message) if place.path.is_empty() => (message.clone(), None),
        Problem::Other(message) => (format!("{}: {message}", place.path), None),
    };
    Diagnostic { hint, ..Diagnostic::error(message) }.at(document.position(place.at.clone()))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
