//! Names and texts inside statements.

use postgres_protocol::escape::{escape_identifier, escape_literal};

/// A name as PostgreSQL reads it, whatever is in it: quoted, with `"` doubled.
pub(crate) fn name(text: impl AsRef<str>) -> String {
    escape_identifier(text.as_ref())
}

/// Several names, separated by commas.
pub(crate) fn names<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// How a membership may be used. Its options came with PostgreSQL 16; before, INHERIT was the member's own attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Switching to the role.
    Switch,
    /// Having its privileges.
    Inherit,
    /// Both.
    Full,
}

impl Membership {
    /// What follows `GRANT … TO …`, on a server that knows it.
    pub(crate) fn options(self, known: bool) -> &'static str {
        match self {
            _ if !known => "",
            Self::Switch => " WITH INHERIT FALSE, SET TRUE",
            Self::Inherit => " WITH INHERIT TRUE, SET FALSE",
            Self::Full => " WITH INHERIT TRUE, SET TRUE",
        }
    }
}

/// A text as PostgreSQL reads it, whatever is in it.
pub(crate) fn text(text: impl AsRef<str>) -> String {
    escape_literal(text.as_ref()).trim_start().to_owned()
}

/// Several texts, separated by commas.
pub(crate) fn texts<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A text, or NULL.
pub(crate) fn text_or_null<T: AsRef<str>>(value: Option<T>) -> String {
    value.map_or_else(|| "NULL".to_owned(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_name_or_a_text_stays_in_it() {
        assert_eq!(name("isp-billing"), "\"isp-billing\"");
        assert_eq!(name("a\"; DROP DATABASE x; --"), "\"a\"\"; DROP DATABASE x; --\"");
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("back\\slash"), "E'back\\\\slash'");
        assert_eq!(text_or_null(None::<&str>), "NULL");
    }
}
