//! Where the statements of an SQL text begin, as far as psql tells them apart: by semicolons that stand in no string,
//! name, comment, parenthesis or body of a function.

use std::ops::Range;

/// What stands at the top of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A statement: its bytes, and its first two words in upper case.
    Statement {
        /// From its first word to its semicolon.
        span: Range<usize>,
        /// What it begins with.
        words: Vec<String>,
    },
    /// A command of psql's.
    Backslash(Range<usize>),
}

/// How many words tell what a statement does.
const TELLING: usize = 5;

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    parts: Vec<Part>,
    statement: Option<(usize, Vec<String>)>,
    parentheses: usize,
    /// `BEGIN … END` and `CASE … END` in the body of a function.
    blocks: usize,
}

/// The parts of a text, in their order.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let mut lexer = Lexer { text, at: 0, parts: Vec::new(), statement: None, parentheses: 0, blocks: 0 };
    while lexer.at < text.len() {
        lexer.token();
    }
    lexer.end();
    lexer.parts
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn token(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        let length = match first {
            _ if rest.starts_with("--") => line(rest),
            _ if rest.starts_with("/*") => comment(rest),
            '\\' if self.begins_a_line() => {
                let length = line(rest);
                self.parts.push(Part::Backslash(self.at..self.at + rest[..length].trim_end().len()));
                length
            }
            c if c.is_whitespace() => c.len_utf8(),
            ';' if self.parentheses == 0 && self.blocks == 0 => {
                self.end();
                1
            }
            _ => {
                let at = self.at;
                let (length, word) = lexeme(rest);
                let word = word.then(|| rest[..length].to_uppercase());
                self.statement.get_or_insert_with(|| (at, Vec::new()));
                self.count(first, word);
                length
            }
        };
        self.at += length;
    }

    /// Keeps account of what a semicolon may stand in.
    fn count(&mut self, first: char, word: Option<String>) {
        match first {
            '(' => self.parentheses += 1,
            ')' => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        let Some((_, words)) = &mut self.statement else { return };
        let Some(word) = word else { return };
        let makes_routine = words.first().is_some_and(|first| first == "CREATE")
            && words.iter().any(|word| word == "FUNCTION" || word == "PROCEDURE");
        if makes_routine && self.parentheses == 0 {
            match word.as_str() {
                "BEGIN" => self.blocks += 1,
                "CASE" if self.blocks > 0 => self.blocks += 1,
                "END" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        if words.len() < TELLING {
            words.push(word);
        }
    }

    fn begins_a_line(&self) -> bool {
        let before = &self.text[..self.at];
        let line = before.rfind('\n').map_or(before, |newline| &before[newline + 1..]);
        line.chars().all(char::is_whitespace)
    }

    fn end(&mut self) {
        let end = self.at.min(self.text.len());
        if let Some((start, words)) = self.statement.take() {
            self.parts.push(Part::Statement { span: start..end, words });
        }
        (self.parentheses, self.blocks) = (0, 0);
    }
}

/// The length of a string, name, word or sign, and whether it is a word.
fn lexeme(rest: &str) -> (usize, bool) {
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        '\'' => (quoted(rest, '\'', false), false),
        '"' => (quoted(rest, '"', false), false),
        'e' | 'E' if rest[1..].starts_with('\'') => (1 + quoted(&rest[1..], '\'', true), false),
        '$' => (dollar(rest), false),
        c if c.is_alphabetic() || c == '_' || !c.is_ascii() => {
            let ends = |c: char| !(c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii());
            (rest.find(ends).unwrap_or(rest.len()), true)
        }
        // What follows a digit belongs to it: `1e5` is no word, nor does `a1$x$` begin a string.
        c if c.is_ascii_digit() => {
            (rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len()), false)
        }
        c => (c.len_utf8(), false),
    }
}

fn line(rest: &str) -> usize {
    rest.find('\n').map_or(rest.len(), |newline| newline + 1)
}

/// Comments nest (PostgreSQL documentation, 4.1.5).
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// A doubled quote, and one after a backslash in an escape string, stay inside.
fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            match characters.peek() {
                Some((_, next)) if *next == quote => drop(characters.next()),
                _ => return at + 1,
            }
        }
    }
    rest.len()
}

/// `$tag$ … $tag$`, or a mere sign.
fn dollar(rest: &str) -> usize {
    let tag = rest[1..].find('$').map(|end| &rest[..end + 2]);
    let is_tag = |tag: &&str| {
        let name = &tag[1..tag.len() - 1];
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_' || !c.is_ascii())
    };
    let Some(tag) = tag.filter(is_tag) else { return 1 };
    rest[tag.len()..].find(tag).map_or(rest.len(), |end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        let spans = parts(text).into_iter().filter_map(|part| match part {
            Part::Statement { span, .. } => Some(span),
            Part::Backslash(_) => None,
        });
        spans.map(|span| &text[span]).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_where_it_stands_for_itself() {
        assert_eq!(statements("SELECT 1; ;\n-- a; b\nSELECT 2"), ["SELECT 1", "SELECT 2"]);
        for one in [
            "SELECT 'a;b', 'it''s;', E'a\\';b'",
            "SELECT \"a;\"\"b;\"",
            "SELECT /* a; /* b; */ c; */ 1",
            "DO $$BEGIN PERFORM 1; END$$",
            "DO $x$BEGIN PERFORM $$;$$; END$x$",
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
            "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
            "SELECT 'never ends; ",
        ] {
            let text = format!("{one}; SELECT 2");
            let expected = if one.contains("never") { 1 } else { 2 };
            let found = statements(&text);
            assert_eq!(found.len(), expected, "{found:?}");
        }
    }

    #[test]
    fn the_first_words_and_the_commands_of_psql_are_told() {
        let text = "\\set x 1\nBegin; -- \\no\nSELECT '\n\\no';\n  \\copy t from x\n";
        let found = parts(text);
        let shown: Vec<String> = found
            .iter()
            .map(|part| match part {
                Part::Statement { words, .. } => words.join(" "),
                Part::Backslash(span) => text[span.clone()].to_owned(),
            })
            .collect();
        assert_eq!(shown, ["\\set x 1", "BEGIN", "SELECT", "\\copy t from x"].map(str::to_owned).to_vec());
    }
}
