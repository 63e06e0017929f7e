//! Documents: what a source says, as a tree that remembers where each key and value stands.

mod node;
mod path;
mod read;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use node::{Entry, Node, Value};
pub(crate) use path::Resolved;

use crate::diagnostic::{Diagnostic, Diagnostics, Position};
use crate::kinds::Violation;

/// A text with declarations: a file, or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path as the user typed it, or `<stdin>`.
    pub name: String,
    /// The YAML or JSON in it.
    pub text: String,
}

/// One YAML document of a source, or one item of a `List` in it.
#[derive(Clone, Debug)]
pub struct Document {
    source: Arc<Source>,
    root: Node,
}

impl Document {
    /// Reads all documents of a source. Empty documents are skipped, and the items of a `List` are documents of their
    /// own. A document that can't be read costs a diagnostic and leaves the others as they are.
    #[must_use]
    pub(crate) fn read(source: &Source) -> (Vec<Self>, Diagnostics) {
        // Editors on Windows begin a file with a byte order mark, which is no part of its first line.
        let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text).to_owned();
        let source = Arc::new(Source { name: source.name.clone(), text });
        let (roots, mut problems) = read::read(&source);
        let mut documents = Vec::new();
        for root in roots {
            Self::expand(&source, root, &mut documents, &mut problems);
        }
        (documents, problems)
    }

    /// The source it is in.
    #[must_use]
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The line it begins on, from 1.
    #[must_use]
    pub(crate) fn line(&self) -> usize {
        self.position(self.root.start()).line()
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    pub(crate) fn text(&self) -> &str {
        &self.source.text
    }

    pub(crate) fn position(&self, span: Range<usize>) -> Position {
        Position::new(Arc::clone(&self.source), span)
    }

    /// What a kind's `validate` found.
    pub(crate) fn violation(&self, violation: &Violation) -> Diagnostic {
        let Violation { path, message, hint, .. } = violation;
        let diagnostic = Diagnostic { hint: hint.clone(), ..self.error(path, message) };
        let key = Resolved::new(&self.root, path).key.filter(|_| violation.is_on_key());
        key.into_iter().fold(diagnostic, |diagnostic, key| diagnostic.at(self.position(key)))
    }

    /// An error at the node that `path` names, else at the nearest node above it, else at the object's name, else where
    /// the document begins.
    pub(crate) fn error(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(self.position(self.locate(path)))
    }

    /// An error where the document begins.
    pub(crate) fn error_at_start(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(self.position(self.root.start()))
    }

    fn locate(&self, path: &str) -> Range<usize> {
        [path, "metadata.name"]
            .iter()
            .map(|path| Resolved::new(&self.root, path))
            .find(|resolved| resolved.nodes.len() > 1)
            .map_or_else(|| self.root.start(), |resolved| resolved.at)
    }

    /// A `List` as `kubectl get` prints it is its items.
    fn expand(source: &Arc<Source>, root: Node, documents: &mut Vec<Self>, problems: &mut Diagnostics) {
        if !matches!(root.get("kind").map(|entry| &entry.value.value), Some(Value::Text(kind)) if kind == "List") {
            documents.push(Self { source: Arc::clone(source), root });
            return;
        }
        let document = Self { source: Arc::clone(source), root };
        let Some(items) = document.root.get("items") else {
            problems.push(document.error("kind", "a List has `items`"));
            return;
        };
        let Value::List(items) = &items.value.value else {
            problems.push(document.error("items", "`items` must be a list"));
            return;
        };
        for item in items {
            Self::expand(source, item.clone(), documents, problems);
        }
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
