//! What is wrong with the input, and where: messages that show the line they speak of.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::document::Source;
use crate::mask::masked;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The input can't be used.
    Error,
    /// The input can be used, but not as one may think.
    Warning,
}

/// A stretch of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    source: Arc<Source>,
    span: Range<usize>,
}

impl Position {
    /// The stretch `span`, in bytes, of the text of `source`; what lies outside of the text or splits a character is
    /// drawn in.
    #[must_use]
    pub fn new(source: Arc<Source>, span: Range<usize>) -> Self {
        let inside = |offset: usize| {
            let offset = offset.min(source.text.len());
            (0..=offset).rev().find(|at| source.text.is_char_boundary(*at)).unwrap_or(0)
        };
        let mut start = inside(span.start);
        // The end of a line is before its CRLF, not within it.
        if source.text[start..].starts_with('\n') && source.text[..start].ends_with('\r') {
            start -= 1;
        }
        let end = inside(span.end).max(start);
        Self { source, span: start..end }
    }

    /// The name of the source.
    #[must_use]
    pub fn source_name(&self) -> &str {
        &self.source.name
    }

    /// The bytes of the source's text.
    #[cfg(test)]
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line it begins on, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column it begins at, in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.before()[self.line_start()..].chars().count() + 1
    }

    fn before(&self) -> &str {
        &self.source.text[..self.span.start]
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The line it begins on, as it is shown, and the bytes of that which are marked.
    fn first_line(&self) -> (String, Range<usize>) {
        let text = &self.source.text;
        let start = self.span.start;
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line_end = start + text[start..line_end].trim_end_matches('\r').len();
        let end = self.span.end.min(line_end);
        let before = text[self.line_start()..start].chars().count();
        let marked = text[start..end].trim_end().chars().count();
        let shown = printable_line(&masked(&text[self.line_start()..line_end]));
        let offset = |characters: usize| shown.char_indices().nth(characters).map_or(shown.len(), |(at, _)| at);
        let span = offset(before)..offset(before + marked);
        (shown, span)
    }
}

/// One thing that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where it is, when it came from a source.
    pub position: Option<Position>,
}

impl Diagnostic {
    /// An error without a position.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), hint: None, position: None }
    }

    /// The same diagnostic with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same diagnostic at a position.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// The diagnostic for a person: the message, the source's line with a caret below, and the hint. Only the first
    /// line of the position is shown.
    #[must_use]
    pub(crate) fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut group = Group::with_title(level.primary_title(printable(&self.message)));
        let Some(position) = &self.position else {
            let hint = self.hint.iter().map(|hint| format!("\n  hint: {}", printable(hint)));
            return renderer.render(&[group]) + &hint.collect::<String>();
        };
        let (line, span) = position.first_line();
        let snippet = Snippet::source(line)
            .line_start(position.line())
            .path(printable(position.source_name()))
            .annotation(AnnotationKind::Primary.span(span));
        group = group.element(snippet);
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(printable(hint)));
        }
        renderer.render(&[group])
    }

    fn sort_key(&self) -> (&str, usize) {
        self.position.as_ref().map_or(("", 0), |position| (position.source_name(), position.span.start))
    }
}

/// Text with what could steer a terminal written out; lines stay lines.
fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c.is_control() && c != '\n') {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// A source's line with every character in its place; the renderer has signs of its own for the lower
/// control characters and for tabs.
fn printable_line(line: &str) -> String {
    line.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Everything that is wrong with the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What each of them says, where reading something failed.
    #[cfg(test)]
    pub(crate) fn messages<T>(read: Result<T, Self>) -> Vec<String> {
        let problems = read.err().unwrap_or_default();
        problems.iter().map(|problem| problem.message.clone()).collect()
    }

    /// Whether one of them is an error.
    #[cfg(test)]
    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// In the order in which they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// All of them for a person, by file and position; those without a position come first. Every diagnostic ends
    /// with a newline, and an empty line stands between two.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut sorted: Vec<&Diagnostic> = self.0.iter().collect();
        sorted.sort_by_key(|diagnostic| diagnostic.sort_key());
        let rendered: Vec<String> = sorted.iter().map(|diagnostic| diagnostic.render(colour) + "\n").collect();
        rendered.join("\n")
    }

    /// Sorts them by file and position.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
#[path = "diagnostic_tests.rs"]
mod tests;
