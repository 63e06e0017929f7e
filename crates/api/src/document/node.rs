//! The tree of a document.

use std::ops::Range;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it is.
    pub value: Value,
    /// Its bytes in the source; a mapping or list in block style only has a beginning.
    pub span: Range<usize>,
}

/// What YAML 1.2 reads (its core schema).
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Negative(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key; what YAML reads as a number or boolean is kept as it was written.
    pub key: String,
    /// The key's bytes in the source.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The entry of a mapping with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Where to point at for the node itself: a scalar, or the first thing in a collection.
    pub(crate) fn start(&self) -> Range<usize> {
        match &self.value {
            Value::Mapping(entries) if self.span.is_empty() => {
                entries.first().map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
            }
            Value::List(items) if self.span.is_empty() => items.first().map_or_else(|| self.span.clone(), Self::start),
            _ => self.span.clone(),
        }
    }

    /// Whether it is one value: not a collection, and not nothing.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self.value, Value::Null | Value::List(_) | Value::Mapping(_))
    }

    /// Moves it and all below it further on by so many bytes.
    pub(crate) fn shift(&mut self, bytes: usize) {
        let shift = |span: &mut Range<usize>| *span = span.start + bytes..span.end + bytes;
        shift(&mut self.span);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.shift(bytes)),
            Value::Mapping(entries) => entries.iter_mut().for_each(|entry| {
                shift(&mut entry.key_span);
                entry.value.shift(bytes);
            }),
            _ => {}
        }
    }

    /// All nodes below this one and itself, in no order.
    pub(crate) fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let node = open.pop()?;
            match &node.value {
                Value::Mapping(entries) => open.extend(entries.iter().map(|entry| &entry.value)),
                Value::List(items) => open.extend(items),
                _ => {}
            }
            Some(node)
        })
    }
}

impl Entry {
    /// Where to point at: the value if it is one, else the key, which says more than a bracket or nothing.
    pub(crate) fn at(&self) -> Range<usize> {
        if self.value.is_scalar() { self.value.span.clone() } else { self.key_span.clone() }
    }
}
