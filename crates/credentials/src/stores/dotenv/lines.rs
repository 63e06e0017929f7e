//! The lines of a `.env` file: some are changed, and all others stay as they are, byte by byte.

use crate::environment::quoted;

/// A text of `KEY=value` lines, as shells and dotenv libraries read them, and of anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines {
    pieces: Vec<Piece>,
    ending: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// What is no variable: comments, empty lines, whatever.
    Other(String),
    Variable(Variable),
}

/// A line, or several where its value goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    /// From the start of the line up to the value: `export KEY=`.
    before: String,
    key: String,
    /// The value as it stands there, with its quotes.
    raw: String,
    /// The value as it is read.
    value: String,
    /// What is left of the line, with its end.
    after: String,
}

impl Lines {
    /// The lines of a text.
    pub(super) fn of(text: &str) -> Self {
        let ending =
            if text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        let mut pieces = Vec::new();
        let mut rest = text;
        if let Some(marked) = text.strip_prefix('\u{feff}') {
            pieces.push(Piece::Other('\u{feff}'.to_string()));
            rest = marked;
        }
        while !rest.is_empty() {
            let (piece, after) = if let Some((variable, after)) = variable(rest) {
                (Piece::Variable(variable), after)
            } else {
                let (line, after) = rest.split_at(line_end(rest));
                (Piece::Other(line.to_owned()), after)
            };
            pieces.push(piece);
            rest = after;
        }
        Self { pieces, ending }
    }

    /// The value of a variable; of several the last, as in a shell.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.variables().filter(|variable| variable.key == key).last().map(|variable| variable.value.as_str())
    }

    /// Sets a variable where it stands, else at the end.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let mut found = false;
        for piece in &mut self.pieces {
            if let Piece::Variable(variable) = piece
                && variable.key == key
            {
                found = true;
                if variable.value != value {
                    (variable.raw, variable.value) = (written(value), value.to_owned());
                    if variable.after.starts_with('#') {
                        variable.after.insert(0, ' ');
                    }
                }
            }
        }
        if !found {
            self.end_last_line();
            let (before, raw, after) = (format!("{key}="), written(value), self.ending.to_owned());
            let variable = Variable { before, key: key.to_owned(), raw, value: value.to_owned(), after };
            self.pieces.push(Piece::Variable(variable));
        }
    }

    /// Removes a variable with its line.
    pub(super) fn remove(&mut self, key: &str) {
        self.pieces.retain(|piece| !matches!(piece, Piece::Variable(variable) if variable.key == key));
    }

    /// The whole text, if it is read as it was meant: a quote that is never closed would swallow what comes after it.
    pub(super) fn checked(&self) -> Option<String> {
        let text = self.text();
        let of = |lines: &Self| lines.variables().map(|it| (it.key.clone(), it.value.clone())).collect::<Vec<_>>();
        (of(&Self::of(&text)) == of(self)).then_some(text)
    }

    fn text(&self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Other(text) => text.clone(),
            Piece::Variable(Variable { before, raw, after, .. }) => [before.as_str(), raw, after].concat(),
        };
        self.pieces.iter().map(text).collect()
    }

    fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Other(_) => None,
        })
    }

    fn end_last_line(&mut self) {
        let end = match self.pieces.last_mut() {
            Some(Piece::Other(text)) if text != "\u{feff}" => text,
            Some(Piece::Variable(variable)) => &mut variable.after,
            _ => return,
        };
        if !end.ends_with('\n') {
            end.push_str(self.ending);
        }
    }
}

/// A value as every reader takes it: bare where no quotes are needed, since `docker --env-file` and
/// `kubectl create secret --from-env-file` would take them for a part of it.
fn written(value: &str) -> String {
    let needs_none = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,=?-".contains(c);
    if !value.is_empty() && value.chars().all(needs_none) { value.to_owned() } else { quoted(value) }
}

/// The variable that a text begins with, and what comes after its line.
fn variable(text: &str) -> Option<(Variable, &str)> {
    let blank = |c: char| c == ' ' || c == '\t';
    let start = text.trim_start_matches(blank);
    let exported = start.strip_prefix("export").filter(|rest| rest.starts_with(blank));
    let start = exported.map_or(start, |rest| rest.trim_start_matches(blank));
    let length = start.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(start.len());
    let (key, rest) = start.split_at(length);
    let rest = rest.trim_start_matches(blank).strip_prefix('=')?.trim_start_matches(blank);
    if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let before = text[..text.len() - rest.len()].to_owned();
    let (value, length) = quoted_value(rest).unwrap_or_else(|| bare_value(rest));
    let (raw, rest) = rest.split_at(length);
    let (after, rest) = rest.split_at(line_end(rest));
    let (key, raw, after) = (key.to_owned(), raw.to_owned(), after.to_owned());
    Some((Variable { before, key, raw, value, after }, rest))
}

/// A value that begins with a quote, which may go on over several lines, and its length in the text.
fn quoted_value(text: &str) -> Option<(String, usize)> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    let mut value = String::new();
    let mut inside = true;
    let mut characters = text.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            _ if c == quote => inside = !inside,
            '\\' if inside && quote == '\'' => value.push(c),
            '\\' => {
                let (_, escaped) = characters.next()?;
                if inside && !['"', '\\', '$', '`'].contains(&escaped) {
                    value.push('\\');
                }
                value.push(escaped);
            }
            _ if inside => value.push(c),
            c if c.is_whitespace() => return Some((value, at)),
            c => value.push(c),
        }
    }
    (!inside).then_some((value, text.len()))
}

/// A value without quotes, which ends with its line or with a comment, and its length in the text.
fn bare_value(text: &str) -> (String, usize) {
    let line = text[..line_end(text)].trim_end_matches(['\r', '\n']);
    let comment = line
        .char_indices()
        .zip(std::iter::once(' ').chain(line.chars()))
        .find_map(|((at, c), before)| (c == '#' && (before == ' ' || before == '\t')).then_some(at));
    let value = line[..comment.unwrap_or(line.len())].trim_end();
    (value.to_owned(), value.len())
}

/// Where the next line begins.
fn line_end(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(text: &str, key: &str, value: &str) -> String {
        let mut lines = Lines::of(text);
        lines.set(key, value);
        lines.text()
    }

    #[test]
    fn a_value_is_read_as_a_shell_or_a_library_reads_it() {
        for (text, value) in [
            ("A=b", "b"),
            ("  export   A=b # why", "b"),
            ("A = b c  ", "b c"),
            ("A=b#c", "b#c"),
            ("A=# nothing", ""),
            ("A=", ""),
            ("A='b # c' # d", "b # c"),
            ("A='it'\\''s'", "it's"),
            ("A=\"b\\\"c\\n\"", "b\"c\\n"),
            ("A='two\nlines'", "two\nlines"),
            ("A=it's", "it's"),
            ("A='open", "'open"),
            ("A=1\nA=2\n", "2"),
            ("A=b\r\n", "b"),
        ] {
            assert_eq!(Lines::of(text).get("A"), Some(value), "{text:?}");
        }
        for text in ["# A=b", "A", "exportA=b", "9A=b", "A-B=c", "X='\nA=b\n'", "export"] {
            assert_eq!(Lines::of(text).get("A"), None, "{text:?}");
        }
    }

    #[test]
    fn a_line_is_changed_where_it_stands_and_nothing_else_is() {
        for (before, after) in [
            ("", "A=1\n"),
            ("B=2", "B=2\nA=1\n"),
            ("# A\n\nexport A=\"0\"  # the first\nB = it's", "# A\n\nexport A=1  # the first\nB = it's"),
            ("B=2\r\nC='\r\nA=0'\r\n", "B=2\r\nC='\r\nA=0'\r\nA=1\r\n"),
            ("A=0\nA=0\n", "A=1\nA=1\n"),
            ("A='1'\n", "A='1'\n"),
            ("A=# one\n", "A=1 # one\n"),
            ("\u{feff}A=0\r\n", "\u{feff}A=1\r\n"),
            ("\u{feff}", "\u{feff}A=1\n"),
        ] {
            assert_eq!(set(before, "A", "1"), after, "{before:?}");
        }
    }

    #[test]
    fn a_variable_goes_with_its_line() {
        let mut lines = Lines::of("# first\nA='1\n2' # both\nB=3\nexport A=4");
        lines.remove("A");
        assert_eq!(lines.text(), "# first\nB=3\n");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_seen() {
        let mut lines = Lines::of("B='open\n");
        lines.set("A", "bare");
        assert!(lines.checked().is_some());
        lines.set("A", "it is");
        assert_eq!(lines.checked(), None);
    }

    proptest! {
        #[test]
        fn a_text_that_is_not_changed_stays_as_it_is(text in "([A-B]|=|'|\"|\\\\| |#|\r|\n|export|.){0,40}") {
            prop_assert_eq!(Lines::of(&text).text(), text);
        }

        #[test]
        fn what_was_set_is_read_back_and_the_others_are_as_before(
            text in "([A-C]=|'|\"|\\\\| |#|\r|\n|export |x){0,30}",
            value in "([a-c]|'|\"|\\\\| |#|\n|ß){0,8}",
        ) {
            let before = Lines::of(&text);
            let mut changed = before.clone();
            changed.set("A", &value);
            let Some(changed) = changed.checked() else { return Ok(()) };
            let changed = Lines::of(&changed);
            prop_assert_eq!(changed.get("A"), Some(value.as_str()));
            for other in ["B", "C"] {
                prop_assert_eq!(changed.get(other), before.get(other));
            }
        }
    }
}
