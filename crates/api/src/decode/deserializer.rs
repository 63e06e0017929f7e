//! A serde `Deserializer` over the tree of a document.

use std::fmt;
use std::ops::Range;
use std::ptr;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{DecodeError, Place, Problem};
use crate::document::{Document, Entry, Node, Value};

/// One value to be decoded.
#[derive(Clone, Copy)]
pub(super) struct NodeDeserializer<'de, 'p> {
    node: &'de Node,
    path: Path<'p>,
    /// The key that it is the value of, if it is.
    entry: Option<&'de Entry>,
    /// Values that decoding passes over.
    hidden: &'p [&'de Node],
}

/// The way from the root to a value.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl<'de, 'p> NodeDeserializer<'de, 'p> {
    /// The whole document, without the values in `hidden`.
    pub(crate) fn root(document: &'de Document, hidden: &'p [&'de Node]) -> Self {
        Self { node: document.root(), path: Path::Root, entry: None, hidden }
    }

    fn is_hidden(&self, node: &Node) -> bool {
        self.hidden.iter().any(|hidden| ptr::eq(*hidden, node))
    }

    fn at(&self) -> Range<usize> {
        self.entry.map_or_else(|| self.node.start(), Entry::at)
    }

    fn place(&self) -> Place<'de> {
        Place { path: self.path.to_string(), at: self.at(), node: self.node }
    }

    fn mapping<V: Visitor<'de>>(self, entries: Vec<&'de Entry>, visitor: V) -> Result<V::Value, DecodeError<'de>> {
        visitor.visit_map(Mapping { of: self, entries: entries.into_iter(), entry: None })
    }

    fn entries(&self) -> impl Iterator<Item = &'de Entry> {
        self.node.entries().iter().filter(|entry| !self.is_hidden(&entry.value))
    }

    /// Decodes this value into what `seed` makes of it. Checks of a type's own come after its value was read, so this
    /// is where an error gets its place.
    fn decode<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError<'de>> {
        seed.deserialize(self).map_err(|error| error.within(|| self.place()))
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de, '_> {
    type Error = DecodeError<'de>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::Negative(number) => visitor.visit_i64(*number),
            Value::Unsigned(number) => visitor.visit_u64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(List { of: self, items: items.iter().enumerate() }),
            Value::Mapping(_) => self.mapping(self.entries().collect(), visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Fields without a value count as absent, as they do for Kubernetes; unknown ones are still told.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let absent = |entry: &Entry| matches!(entry.value.value, Value::Null) && fields.contains(&entry.key.as_str());
        match &self.node.value {
            Value::Mapping(_) => self.mapping(self.entries().filter(|entry| !absent(entry)).collect(), visitor),
            _ => Err(DecodeError::invalid_type(Unexpected::Other("another type"), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(DecodeError::new(Problem::UnknownVariant { known: variants })),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier
    }
}

struct List<'de, 'p> {
    of: NodeDeserializer<'de, 'p>,
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for List<'de, '_> {
    type Error = DecodeError<'de>;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error> {
        let of = self.of;
        let Some((index, node)) = self.items.find(|(_, node)| !of.is_hidden(node)) else { return Ok(None) };
        let path = Path::Index(&of.path, index);
        NodeDeserializer { node, path, entry: None, hidden: of.hidden }.decode(seed).map(Some)
    }
}

struct Mapping<'de, 'p> {
    of: NodeDeserializer<'de, 'p>,
    entries: std::vec::IntoIter<&'de Entry>,
    /// The entry whose key was asked for last.
    entry: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Mapping<'de, '_> {
    type Error = DecodeError<'de>;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error> {
        self.entry = self.entries.next();
        let Some(entry) = self.entry else { return Ok(None) };
        let key = StrDeserializer::<DecodeError<'de>>::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|error| {
            error.within(|| Place {
                path: Path::Key(&self.of.path, &entry.key).to_string(),
                at: entry.key_span.clone(),
                node: &entry.value,
            })
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Self::Error> {
        let Some(entry) = self.entry else { return Err(DecodeError::custom("a value was asked for before its key")) };
        let path = Path::Key(&self.of.path, &entry.key);
        NodeDeserializer { node: &entry.value, path, entry: Some(entry), hidden: self.of.hidden }.decode(seed)
    }
}
