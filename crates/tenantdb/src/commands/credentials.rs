//! `tenantdb credentials`.

use std::io::{self, Write as _};

use tenantdb_api::{ObjectName, did_you_mean};
use tenantdb_core::{Failure, FailureKind};
use tenantdb_credentials::Document;

use super::Context;
use crate::arguments::{CredentialFormat, CredentialsArguments};
use crate::error::{Error, Exit};

/// Prints the credential that was delivered for a database; asks no server.
pub fn run(context: &Context, arguments: &CredentialsArguments) -> Result<Exit, Error> {
    let CredentialsArguments { name, namespace, format } = arguments;
    let place = context.home.place()?;
    let found = place.find(namespace, name).map_err(Failure::from)?;
    let Some((path, document)) = found else {
        let known = place.names(namespace).map_err(Failure::from)?;
        let hint = if known.contains(name) {
            "its delivery broke off; `tenantdb apply` with its declaration finishes it".to_owned()
        } else {
            let otherwise = "`tenantdb status` shows where each one was delivered; -n names another namespace";
            did_you_mean(name.as_str(), known.iter().map(ObjectName::as_str), otherwise)
        };
        let message = format!("no credential of {namespace}/{name} was delivered to {}", context.home.root().display());
        return Err(Error::input(message, hint));
    };
    if document.iter().next().is_none() {
        let failure = Failure::new(FailureKind::Rejected, format!("{} holds no credential any more", path.display()));
        return Err(failure.hint("`tenantdb apply` with its declaration delivers a new one").into());
    }
    let text = match format {
        CredentialFormat::Json => json(&document)?,
        CredentialFormat::Uri => match document.get("uri").or_else(|| document.get("DATABASE_URL")) {
            Some(uri) => format!("{uri}\n"),
            None => {
                return Err(Error::input(
                    format!("{} holds no URI", path.display()),
                    "add the format `default` or `env` to its declaration",
                ));
            }
        },
        CredentialFormat::Env => {
            let variables = document.iter().filter(|(key, _)| is_variable(key));
            variables.fold(String::new(), |lines, (key, value)| format!("{lines}{key}={}\n", quoted(value)))
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::failed(format!("can't print: {error}"))),
        _ => Ok(Exit::Done),
    }
}

fn json(document: &Document) -> Result<String, Error> {
    let entries: serde_json::Map<String, serde_json::Value> =
        document.iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let text = serde_json::to_string_pretty(&entries).map_err(|error| Error::failed(error.to_string()))?;
    // JSON leaves the upper control characters as they are; a terminal doesn't.
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
        _ => c.to_string(),
    };
    Ok(text.chars().map(escaped).collect::<String>() + "\n")
}

/// Whether a key is a variable's name by convention: upper case, digits and `_`.
fn is_variable(key: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    key.bytes().all(legal) && !key.starts_with(|first: char| first.is_ascii_digit())
}

/// A value as a POSIX shell reads it, whatever is in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn only_legal_upper_case_names_are_variables() {
        assert!(is_variable("DB_HOST"));
        assert!(!is_variable("username"));
        assert!(!is_variable("9_LIVES"));
        assert!(!is_variable("A-B"));
    }
}
