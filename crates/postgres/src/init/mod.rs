//! Scripts that a tenant's database begins with. Each runs once, logged in as the tenant, in a transaction that also
//! sets a mark on the tenant's login: whoever looks at the server after a crash sees whether the script was committed.

mod lexer;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use lexer::Part;
use tenantdb_core::Digest;

use crate::sql::{name, text};

/// The parameter that carries the mark: one that every login may set for itself, to any text.
pub(crate) const MARKED: &str = "application_name";

/// What a mark begins with.
const MARK: &str = "tenantdb init ";

/// How much of a digest fits into a mark: the parameter takes 63 bytes.
const MARK_DIGITS: usize = 40;

/// A script, checked.
#[derive(Clone, PartialEq)]
pub struct InitScript {
    name: String,
    text: Arc<str>,
    digest: Digest,
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: &'static str,
}

impl InitScript {
    /// Checks a script; `name` is what it was declared as.
    ///
    /// # Errors
    /// Everything in it that would not run in one transaction, sent to a server without psql.
    pub fn new(name: String, text: String) -> Result<Self, Vec<Fault>> {
        let faults: Vec<Fault> = lexer::parts(&text).iter().filter_map(|part| fault(part, &text)).collect();
        let digest = Digest::of(text.as_bytes());
        if faults.is_empty() { Ok(Self { name, text: text.into(), digest }) } else { Err(faults) }
    }

    /// What it was declared as.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Tells it from every other script.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What is sent.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value of [`MARKED`] that says that it was committed.
    pub(crate) fn mark(&self) -> String {
        format!("{MARK}{}", &self.digest.as_str()[..MARK_DIGITS])
    }

    /// `file:line:column` of what an error of the server is about: a character, counted from 1, else the statement after
    /// as many as were done.
    pub(crate) fn place(&self, character: Option<u32>, done: usize) -> String {
        let by_character = character.and_then(|character| {
            let index = usize::try_from(character).ok()?.checked_sub(1)?;
            self.text.char_indices().nth(index).map(|(at, _)| at)
        });
        let by_statement = || {
            let statements = lexer::parts(&self.text).into_iter().filter_map(|part| match part {
                Part::Statement { span, .. } => Some(span.start),
                Part::Backslash(_) => None,
            });
            statements.take(done + 1).last()
        };
        let before = &self.text[..by_character.or_else(by_statement).unwrap_or_default()];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
        format!("{}:{line}:{column}", self.name)
    }
}

impl fmt::Debug for InitScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it may be a secret.
        f.debug_struct("InitScript").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

fn fault(part: &Part, text: &str) -> Option<Fault> {
    match part {
        Part::Backslash(span) => {
            let command = text[span.clone()].split_whitespace().next().unwrap_or_default();
            Some(Fault {
                span: span.clone(),
                message: format!("`{command}` is a command of psql, and there is no psql"),
                hint: "a script is SQL alone; write data as INSERT instead of \\copy and COPY … FROM stdin",
            })
        }
        Part::Statement { span, words } => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let of_transactions = match words.as_slice() {
                ["ROLLBACK" | "ABORT", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => false,
                ["BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] | ["START" | "PREPARE", "TRANSACTION", ..] => {
                    true
                }
                ["COPY", ..] => return copies_from_client(&text[span.clone()], span),
                _ => false,
            };
            of_transactions.then(|| Fault {
                span: span.clone(),
                message: format!("`{}` ends or begins a transaction, and a script is one", words[0]),
                hint: "leave it out: the whole script is committed at once, or nothing of it",
            })
        }
    }
}

fn copies_from_client(statement: &str, span: &Range<usize>) -> Option<Fault> {
    let words: Vec<String> = statement.split_whitespace().map(str::to_uppercase).collect();
    let from_client = words.windows(2).any(|pair| pair[0] == "FROM" && pair[1] == "STDIN");
    from_client.then(|| Fault {
        span: span.clone(),
        message: "`COPY … FROM stdin` waits for data that nobody sends".to_owned(),
        hint: "write the data as INSERT (`pg_dump --inserts` does)",
    })
}

/// The statement with which a login marks itself.
pub(crate) fn set_mark(role: &str, database: &str, mark: &str) -> String {
    format!("ALTER ROLE {} IN DATABASE {} SET {MARKED} = {}", name(role), name(database), text(mark))
}

/// The statement that takes the mark away again, and leaves what is declared.
pub(crate) fn remove_mark(role: &str, database: &str, declared: Option<&str>) -> String {
    match declared {
        Some(declared) => set_mark(role, database, declared),
        None => crate::step::reset(role, Some(database), MARKED),
    }
}

/// Whether a value of [`MARKED`] is a mark.
pub(crate) fn is_mark(value: &str) -> bool {
    value.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let read = InitScript::new("seed.sql".to_owned(), text.to_owned());
        read.err().into_iter().flatten().map(|fault| text[fault.span].to_owned()).collect()
    }

    #[test]
    fn what_is_no_part_of_one_transaction_is_refused() {
        let refused = [
            "BEGIN",
            "begin",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ABORT",
            "START TRANSACTION",
            "PREPARE TRANSACTION 'x'",
            "\\connect other",
            "COPY t FROM stdin",
        ];
        for statement in refused {
            let text = format!("SELECT 1;\n{statement}\n;SELECT 2");
            assert_eq!(faults(&text).iter().map(|found| found.trim()).collect::<Vec<_>>(), [statement], "{text}");
        }
        for statement in
            ["SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "PREPARE x AS SELECT 1", "DO $$BEGIN END$$"]
        {
            assert_eq!(faults(statement), [""; 0], "{statement}");
        }
    }

    #[test]
    fn a_place_is_told_by_character_or_by_statement() {
        let script =
            InitScript::new("seed.sql".to_owned(), "-- ö\nSELECT 1;\n  SELECT 'ü', 1/0;\n".to_owned()).unwrap();
        assert_eq!(script.place(Some(18), 0), "seed.sql:3:3");
        assert_eq!(script.place(None, 0), "seed.sql:2:1");
        assert_eq!(script.place(None, 1), "seed.sql:3:3");
        assert!(script.mark().len() <= 63 && is_mark(&script.mark()));
        assert!(!format!("{script:?}").contains("SELECT"));
    }
}
