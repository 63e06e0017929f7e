//! How the keys of a credential stand in a file.

use secrecy::SecretString;

use crate::environment::assignment;
use crate::format::Document;

/// A way to write keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One flat JSON object.
    Json,
    /// `KEY='value'` lines, as shells and dotenv libraries read them; a key that no variable can have is left out.
    Env,
}

impl Encoding {
    /// How the file's name ends, without the dot.
    #[must_use]
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Env => "env",
        }
    }

    /// What of a document can be written.
    pub(super) fn kept(self, document: Document) -> Document {
        match self {
            Self::Json => document,
            Self::Env => Document::new(
                document
                    .iter()
                    .filter(|(key, _)| is_name(key))
                    .map(|(key, value)| (key.to_owned(), SecretString::from(value))),
            ),
        }
    }

    /// The text of a file.
    pub(super) fn write(self, document: &Document) -> serde_json::Result<Vec<u8>> {
        let mut text = match self {
            Self::Json => serde_json::to_vec_pretty(&document.to_json())?,
            Self::Env => {
                let lines: Vec<String> = document.iter().map(|(key, value)| assignment(key, value)).collect();
                lines.join("\n").into_bytes()
            }
        };
        text.push(b'\n');
        Ok(text)
    }

    /// What a file holds. What is not written like that is no credential: it counts as lost, and is replaced.
    pub(super) fn read(self, text: &[u8]) -> Document {
        let entries: Vec<(String, String)> = match self {
            Self::Json => {
                let entries: std::collections::BTreeMap<String, String> =
                    serde_json::from_slice(text).unwrap_or_default();
                entries.into_iter().collect()
            }
            Self::Env => std::str::from_utf8(text).ok().and_then(read_lines).unwrap_or_default(),
        };
        Document::new(entries.into_iter().map(|(key, value)| (key, SecretString::from(value))))
    }
}

fn is_name(key: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !key.is_empty() && key.bytes().all(legal) && !key.starts_with(|first: char| first.is_ascii_digit())
}

/// The lines that [`Encoding::write`] writes; `None` for any others.
fn read_lines(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut entries = Vec::new();
    while !text.trim().is_empty() {
        let (key, mut rest) = text.trim_start().split_once("='")?;
        let mut value = String::new();
        loop {
            let (part, after) = rest.split_once('\'')?;
            value += part;
            let Some(more) = after.strip_prefix(r"\''") else {
                text = after.strip_prefix('\n').or_else(|| after.is_empty().then_some(""))?;
                break;
            };
            value.push('\'');
            rest = more;
        }
        entries.push((key.to_owned(), value));
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(entries: &[(&str, &str)]) -> Document {
        Document::new(entries.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from(*value))))
    }

    #[test]
    fn what_was_written_is_read_back() {
        let written =
            document(&[("DB_NAME", "it's \"a\" b$c\\"), ("username", "größe"), ("DB_HOST", "two\nlines"), ("E", "")]);
        for encoding in [Encoding::Json, Encoding::Env] {
            assert!(encoding.read(&encoding.write(&written).unwrap()) == written, "{encoding:?}");
        }
        let text = Encoding::Env.write(&document(&[("DB_NAME", "it's")])).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "DB_NAME='it'\\''s'\n");
    }

    #[test]
    fn a_key_that_is_no_variable_is_left_out_of_an_environment() {
        let all = document(&[("ca.crt", "x"), ("A-B", "x"), ("9", "x"), ("uri_ro", "y")]);
        assert!(Encoding::Env.kept(all.clone()) == document(&[("uri_ro", "y")]));
        assert!(Encoding::Json.kept(all.clone()) == all);
    }

    #[test]
    fn what_somebody_else_wrote_is_no_credential() {
        for text in ["DB_NAME=cafe\n", "export DB_NAME='cafe'x\n", "DB_NAME='cafe", "\u{0}"] {
            assert_eq!(Encoding::Env.read(text.as_bytes()).iter().count(), 0, "{text}");
        }
    }
}
