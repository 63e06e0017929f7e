//! Texts of catalogs that nothing has checked.

use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type, accepts};

/// A text that a session of another database may have written, in the encoding of that one: what the catalogs that
/// databases share hold is neither converted nor checked (measured on 15 and 18). What is no UTF-8 is replaced.
struct CatalogText(String);

impl<'a> FromSql<'a> for CatalogText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    accepts!(BYTEA);
}

/// The bytes of a text, in a query that never fails for what they are. In a database without an encoding they are taken
/// as they are; in one of another encoding than UTF-8 the server converts them.
pub(super) fn bytes_of(expression: &str) -> String {
    format!(
        "CASE pg_catalog.getdatabaseencoding() WHEN 'SQL_ASCII' \
         THEN pg_catalog.convert_to({expression}, 'SQL_ASCII') ELSE pg_catalog.textsend({expression}) END"
    )
}

/// A column that [`bytes_of`] selected.
pub(super) fn text(row: &Row, column: usize) -> String {
    row.get::<_, CatalogText>(column).0
}
