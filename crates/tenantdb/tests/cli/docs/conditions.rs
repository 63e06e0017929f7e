//! The tables of what a resource says of itself, from what the operator says.

use std::fmt::Write as _;

use tenantdb_core::{By, Note, Of};
use tenantdb_operator::reason::{DEEDS, REASONS, Standing, all_notes};

/// Each table of the page, with the comment that it follows.
pub fn tables() -> [(&'static str, String); 5] {
    let of_standing = |standing: Standing| {
        let reasons = REASONS.iter().filter(|reason| reason.standing == standing);
        table("reason", reasons.map(|reason| reason.note))
    };
    [
        ("ready", of_standing(Standing::Ready)),
        ("reconciling", of_standing(Standing::Reconciling)),
        ("stalled", of_standing(Standing::Stalled)),
        ("notes", table("type", all_notes())),
        ("events", deeds()),
    ]
}

fn table<'n>(head: &str, notes: impl Iterator<Item = &'n Note>) -> String {
    let begin = format!("| {head} | of | means | whose turn it is | what to do |\n|---|---|---|---|---|\n");
    notes.fold(begin, |mut table, Note { name, of, by, meaning, remedy }| {
        let of = match of {
            Of::Tenants => "database, role",
            Of::Servers => "server",
            Of::All => "each",
            Of::Request => "a command",
        };
        let by = match by {
            By::Nobody => "nobody",
            By::Declarer => "who declared it",
            By::Platform => "the platform",
            By::Either => "who declared it, the platform",
        };
        writeln!(table, "| `{name}` | {of} | {meaning} | {by} | {remedy} |").unwrap();
        table
    })
}

fn deeds() -> String {
    DEEDS.iter().fold("| reason | tells |\n|---|---|\n".to_owned(), |mut table, deed| {
        writeln!(table, "| `{}` | {} |", deed.name, deed.meaning).unwrap();
        table
    })
}
