//! What a plan tells that no step mends, as the documentation lists it.

use std::fmt;

use serde::{Serialize, Serializer};

/// A sort of [`Condition`](crate::Condition): one that has no text can't be told. [`notes!`](crate::notes) declares them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// In one CamelCase word, such as `SystemDatabasesOpen`.
    pub name: &'static str,
    /// What it is told of.
    pub of: Of,
    /// Who can do something about it.
    pub by: By,
    /// What is so.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What something is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// A database or a role.
    Tenants,
    /// A server.
    Servers,
    /// Any of them.
    All,
    /// What was asked for on the command line, and nothing that is declared.
    Request,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Nobody has to.
    Nobody,
    /// Who declared it.
    Declarer,
    /// Who keeps the servers.
    Platform,
    /// Who declared it, or with them the platform.
    Either,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// Declares notes, and `ALL` of them.
#[macro_export]
macro_rules! notes {
    ($($constant:ident: $name:literal, $of:ident, $by:ident, $meaning:literal, $remedy:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $meaning, ".")]
            pub static $constant: $crate::Note = $crate::Note {
                name: $name,
                of: $crate::Of::$of,
                by: $crate::By::$by,
                meaning: $meaning,
                remedy: $remedy,
            };
        )+

        /// All of them.
        pub static ALL: &[&$crate::Note] = &[$(&$constant),+];
    };
}
