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

/// A text as PostgreSQL reads it, whatever is in it.
pub(crate) fn text(text: impl AsRef<str>) -> String {
    escape_literal(text.as_ref()).trim_start().to_owned()
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
