//! From text to trees, with serde-saphyr.

use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, MessageFormatter, Options, Spanned, UserMessageFormatter};

use super::node::{Entry, Node, Value};
use super::{Position, Source};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// No declaration nests half as deep.
const MAX_DEPTH: usize = 32;

/// How many events aliases may repeat, beside one for each byte of the text: enough for shared blocks, too few for a
/// bomb.
const REPEATED_EVENTS: usize = 100_000;

/// How many bytes of a text take much longer to read than a thread to start: some milliseconds (measured).
pub(super) const WORTH_A_THREAD: usize = 16 * 1024;

/// Reads every document of a source. What can't be read is left out, with a diagnostic that says why.
pub(super) fn read(source: &Arc<Source>) -> (Vec<Node>, Diagnostics) {
    let text = source.text.as_str();
    if let Ok(roots) = read_in_shares(text) {
        return (roots, Diagnostics::default());
    }
    // What is wrong may be so only because the text was split.
    let whole = match read_part(text, 0, DuplicateKeyPolicy::Error) {
        Ok(roots) => return (roots, Diagnostics::default()),
        Err(error) => explain(source, 0..text.len(), &error),
    };
    // The reader stops at the first error; read one by one, the other documents get their say.
    let mut roots = Vec::new();
    let mut problems = Diagnostics::default();
    for part in parts(text) {
        let mut policy = DuplicateKeyPolicy::Error;
        while let Err(error) = read_part(&text[part.clone()], part.start, policy).map(|found| roots.extend(found)) {
            problems.push(explain(source, part.clone(), &error));
            // A key given twice hides nothing else that is wrong.
            match error {
                Error::DuplicateMappingKey { .. } => policy = DuplicateKeyPolicy::FirstWins,
                _ => break,
            }
        }
    }
    if problems.is_empty() {
        return (Vec::new(), whole.into());
    }
    (roots, problems)
}

/// Reads a text whose documents are all right, on as many threads as it is worth.
fn read_in_shares(text: &str) -> Result<Vec<Node>, Error> {
    let shares = shares(text, threads().min(text.len() / WORTH_A_THREAD));
    let Some((own, others)) = shares.split_first() else { return Ok(Vec::new()) };
    let read = |share: &Range<usize>| read_part(&text[share.clone()], share.start, DuplicateKeyPolicy::Error);
    thread::scope(|scope| {
        let readers: Vec<_> = others.iter().map(|share| scope.spawn(move || read(share))).collect();
        let mut roots = read(own)?;
        for reader in readers {
            roots.extend(reader.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(roots)
    })
}

/// How many threads can work at a time.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Stretches of whole documents, nearly of the same length, at most so many.
fn shares(text: &str, number: usize) -> Vec<Range<usize>> {
    let length = text.len().div_ceil(number.max(1));
    parts(text).into_iter().fold(Vec::new(), |mut shares: Vec<Range<usize>>, part| {
        match shares.last_mut() {
            Some(share) if share.len() < length => share.end = part.end,
            _ => shares.push(part),
        }
        shares
    })
}

/// The stretches of a text that hold a document each. A line that begins with `---` is nothing else in YAML (1.2.2,
/// rule 206); only what precedes a document, comments and directives, stays with it.
fn parts(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut offset = 0;
    let mut has_content = false;
    for line in text.split_inclusive('\n') {
        let marker =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && has_content {
            parts.push(start..offset);
            start = offset;
        }
        has_content |= marker || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        offset += line.len();
    }
    parts.push(start..offset);
    parts
}

/// Reads the documents of a part of a source that begins at `base`.
fn read_part(text: &str, base: usize, duplicate_keys: DuplicateKeyPolicy) -> Result<Vec<Node>, Error> {
    let mut roots: Vec<Node> = serde_saphyr::from_multiple_with_options(text, options(text.len(), duplicate_keys))?;
    for root in roots.iter_mut().filter(|_| base > 0) {
        root.shift(base);
    }
    Ok(roots)
}

fn options(length: usize, duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        // What a text itself can hold is bounded by its length; only depth and repetition are not.
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: usize::MAX,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: length.saturating_add(REPEATED_EVENTS) },
        duplicate_keys: duplicate_keys,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The bytes of a location in the text that was read.
fn bytes(location: &Location) -> Option<Range<usize>> {
    let span = location.span();
    let (start, length) = (usize::try_from(span.byte_offset()?).ok()?, usize::try_from(span.byte_len()?).ok()?);
    Some(start..start.saturating_add(length))
}

/// The same for an error: those of the syntax count in characters.
fn bytes_of_error(location: &Location, text: &str) -> Range<usize> {
    bytes(location).unwrap_or_else(|| {
        let index = usize::try_from(location.span().offset()).unwrap_or(usize::MAX);
        let at = text.char_indices().nth(index);
        at.map_or(text.len()..text.len(), |(start, character)| start..start + character.len_utf8())
    })
}

fn explain(source: &Arc<Source>, part: Range<usize>, error: &Error) -> Diagnostic {
    let text = &source.text[part.clone()];
    let span = error.location().map_or(0..0, |location| bytes_of_error(&location, text));
    let span = part.start + span.start..part.start + span.end;
    let mut cause = error;
    while let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = cause {
        cause = error;
    }
    let (message, hint) = match cause {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key `{key}` is given twice"), Some("keep one of the two"))
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            (format!("this is nested deeper than {MAX_DEPTH} levels"), None)
        }
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            ("the aliases repeat too much".to_owned(), Some("write out what they stand for"))
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("an alias can't stand within its own anchor".to_owned(), None)
        }
        Error::UnknownAnchor { .. } => ("no anchor above has the name of this alias".to_owned(), None),
        Error::UnsupportedTag { tag, .. } => {
            (format!("the tag `{tag}` is not supported"), Some("write the value without it"))
        }
        Error::NullIntoString { .. } | Error::Unexpected { expected: "string scalar", .. } => {
            ("a key must be text".to_owned(), None)
        }
        _ => {
            // The scanner quotes `like this'.
            let reason = UserMessageFormatter.format_message(cause).replace('\'', "`");
            (format!("this is not valid YAML: {reason}"), syntax_hint(&reason))
        }
    };
    let diagnostic = Diagnostic::error(message).at(Position::new(Arc::clone(source), span));
    Diagnostic { hint: hint.map(str::to_owned), ..diagnostic }
}

fn syntax_hint(reason: &str) -> Option<&'static str> {
    if reason.contains("tab") {
        Some("indent with spaces; YAML allows no tabs there")
    } else if reason.contains("mapping values are not allowed") {
        Some("text that holds `: ` has to be in quotes, and keys of one mapping are indented alike")
    } else if reason.contains("unexpected character") && !reason.contains('\\') {
        Some("text that begins with a sign such as `@`, `%` or a backquote has to be in quotes")
    } else {
        None
    }
}

/// A value that came by an alias stands where it was defined, for there it can be mended.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, defined, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { value, span: bytes(&defined).unwrap_or_default() })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(Value::Boolean(boolean))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(u64::try_from(number).map_or(Value::Negative(number), Value::Unsigned))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Spanned { value: key, defined, .. }, value)) = access.next_entry()? {
            entries.push(Entry { key, key_span: bytes(&defined).unwrap_or_default(), value });
        }
        Ok(Value::Mapping(entries))
    }
}
