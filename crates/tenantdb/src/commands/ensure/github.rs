//! Variables for the steps of a GitHub workflow that follow.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;

use tenantdb_credentials::Document;

use super::variables::Environment;
use crate::error::Error;

/// The file that GitHub reads variables from after a step.
#[derive(Debug)]
pub struct GithubEnvironment(PathBuf);

impl GithubEnvironment {
    /// The file of this step.
    pub fn of(environment: &impl Environment) -> Result<Self, Error> {
        let path = environment.get("GITHUB_ENV")?.ok_or_else(|| {
            Error::input("--format github-env: GITHUB_ENV is not set", "it is, in a step of a GitHub workflow")
        })?;
        Ok(Self(path.into()))
    }

    /// Hides what is secret in the log of the workflow, and only then gives the variables to the steps that follow.
    pub fn give(&self, document: &Document) -> Result<(), Error> {
        let failed = |error: io::Error| Error::failed(format!("can't write {}: {error}", self.0.display()));
        let mut out = io::stdout().lock();
        out.write_all(masks(document).as_bytes()).and_then(|()| out.flush()).map_err(failed)?;
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0).map_err(failed)?;
        file.write_all(assignments(document, &delimiter()).as_bytes()).map_err(failed)
    }
}

/// What a log may not show: passwords, and what holds one.
fn masks(document: &Document) -> String {
    let is_secret = |key: &str| ["PASSWORD", "URL"].iter().any(|secret| key.ends_with(secret));
    let secrets = document.iter().filter(|(key, value)| is_secret(key) && !value.is_empty());
    // What a command of a workflow can't hold as it is (GitHub's documentation of workflow commands).
    let escaped = |value: &str| value.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    secrets.flat_map(|(_, value)| ["::add-mask::".to_owned(), escaped(value), "\n".to_owned()]).collect()
}

/// The form in which no value can be taken for another variable.
fn assignments(document: &Document, delimiter: &str) -> String {
    document.iter().flat_map(|(key, value)| [key, "<<", delimiter, "\n", value, "\n", delimiter, "\n"]).collect()
}

/// What no value holds.
fn delimiter() -> String {
    format!("ghadelimiter_{}", uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_no_value_becomes_another_variable() {
        let values = [("DB_NAME", "x\nLD_PRELOAD=y"), ("DB_PASSWORD", "p%\n"), ("CAFE_POSTGRES_URL", "url")];
        let document = Document::new(values.map(|(key, value)| (key.to_owned(), value.into())));
        assert_eq!(masks(&document), "::add-mask::p%25%0A\n::add-mask::url\n");
        let given = assignments(&document, "END");
        assert!(given.starts_with("DB_NAME<<END\nx\nLD_PRELOAD=y\nEND\nDB_PASSWORD<<END\n"), "{given}");
        assert_ne!(delimiter(), delimiter());
    }
}
