//! Scripts that a tenant's database begins with. Each runs once, logged in as the tenant, in a transaction that also
//! sets a mark on the tenant's login: whoever looks at the server after a crash sees whether the script was committed.

mod lexer;

use std::ops::Range;

use lexer::Part;
use tenantdb_core::{Fault, Script};

use crate::sql::{name, text};

/// The parameter that carries the mark: one that every login may set for itself, to any text.
pub(crate) const MARKED: &str = "application_name";

/// What a mark begins with.
const MARK: &str = "tenantdb init ";

/// How much of a digest fits into a mark: the parameter takes 63 bytes.
const MARK_DIGITS: usize = 40;

/// Everything in a script that would not run in one transaction, sent to a server without psql.
pub(crate) fn faults(script: &str) -> Vec<Fault> {
    lexer::parts(script).iter().filter_map(|part| fault(part, script)).collect()
}

/// The value of [`MARKED`] that says that a script was committed.
pub(crate) fn mark(script: &Script) -> String {
    format!("{MARK}{}", &script.digest().as_str()[..MARK_DIGITS])
}

/// `file:line:column` of what an error of the server is about: a character, counted from 1, else the statement after as
/// many as were done.
pub(crate) fn place(script: &Script, character: Option<u32>, done: usize) -> String {
    let text = script.text();
    let by_character = character.and_then(|character| {
        let index = usize::try_from(character).ok()?.checked_sub(1)?;
        text.char_indices().nth(index).map(|(at, _)| at)
    });
    let by_statement = || {
        let statements = lexer::parts(text).into_iter().filter_map(|part| match part {
            Part::Statement { span, .. } => Some(span.start),
            Part::Backslash(_) => None,
        });
        statements.take(done + 1).last()
    };
    let before = &text[..by_character.or_else(by_statement).unwrap_or_default()];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    format!("{}:{line}:{column}", script.name())
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
    use crate::Postgres;

    fn faulty(text: &str) -> Vec<String> {
        faults(text).into_iter().map(|fault| text[fault.span].to_owned()).collect()
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
            assert_eq!(faulty(&text).iter().map(|found| found.trim()).collect::<Vec<_>>(), [statement], "{text}");
        }
        for statement in
            ["SAVEPOINT a", "ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "PREPARE x AS SELECT 1", "DO $$BEGIN END$$"]
        {
            assert_eq!(faulty(statement), [""; 0], "{statement}");
        }
    }

    #[test]
    fn a_place_is_told_by_character_or_by_statement() {
        let text = "-- ö\nSELECT 1;\n  SELECT 'ü', 1/0;\n".to_owned();
        let script = Script::checked::<Postgres>("seed.sql".to_owned(), text).unwrap();
        assert_eq!(place(&script, Some(18), 0), "seed.sql:3:3");
        assert_eq!(place(&script, None, 0), "seed.sql:2:1");
        assert_eq!(place(&script, None, 1), "seed.sql:3:3");
        assert!(mark(&script).len() <= 63 && is_mark(&mark(&script)));
        assert!(!format!("{script:?}").contains("SELECT"));
    }
}
