//! A credential as the environment of a process.

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use crate::format::Document;

/// The parameters of a connection URI that libpq also reads from its environment (PostgreSQL documentation, 32.15).
const PARAMETERS: [(&str, &str); 16] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("gssencmode", "PGGSSENCMODE"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("require_auth", "PGREQUIREAUTH"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// What outranks the variables of [`libpq`] and would lead elsewhere, or is another's password where a credential has
/// none (PostgreSQL documentation, 32.15 and 32.17).
pub const MISLEADING: [&str; 4] = ["PGHOSTADDR", "PGPASSWORD", "PGSERVICE", "PGSERVICEFILE"];

/// The variables with which every program that uses libpq logs in.
#[must_use]
pub fn libpq(document: &Document) -> Vec<(&'static str, SecretString)> {
    let keys = [
        ("PGHOST", ["host", "DB_HOST"]),
        ("PGPORT", ["port", "DB_PORT"]),
        ("PGDATABASE", ["database", "DB_NAME"]),
        ("PGUSER", ["username", "DB_USER"]),
        ("PGPASSWORD", ["password", "DB_PASSWORD"]),
    ];
    let value = |names: [&str; 2]| names.iter().find_map(|name| document.get(name)).map(SecretString::from);
    let login = keys.into_iter().filter_map(|(variable, names)| Some((variable, value(names)?)));
    let uri = document.uri().unwrap_or_default();
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let parameters = query.split('&').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let (_, variable) = PARAMETERS.iter().find(|(known, _)| *known == name)?;
        Some((*variable, SecretString::from(percent_decode_str(value).decode_utf8().ok()?.into_owned())))
    });
    login.chain(parameters).collect()
}

/// The keys that are a variable's name by convention, upper case, digits and `_`, with their values.
pub fn variables(document: &Document) -> impl Iterator<Item = (&str, &str)> {
    document.iter().filter(|(key, _)| is_variable(key))
}

/// `KEY='value'`, as a POSIX shell and dotenv libraries read it, whatever is in the value.
#[must_use]
pub fn assignment(key: &str, value: &str) -> String {
    format!("{key}={}", quoted(value))
}

/// `'value'`, as a POSIX shell and dotenv libraries read it.
#[must_use]
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// The environment of a process that is to use the credential.
#[must_use]
pub fn of_process(document: &Document) -> Vec<(String, SecretString)> {
    let own = variables(document).map(|(key, value)| (key.to_owned(), SecretString::from(value)));
    let libpq = libpq(document).into_iter().map(|(variable, value)| (variable.to_owned(), value));
    // A key that the declaration calls like one of libpq's is what its author wants there.
    libpq.chain(own).collect()
}

fn is_variable(key: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    key.bytes().all(legal) && !key.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn document(entries: &[(&str, &str)]) -> Document {
        Document::new(entries.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from(*value))))
    }

    fn shown(variables: &[(&str, SecretString)]) -> Vec<String> {
        variables.iter().map(|(name, value)| format!("{name}={}", value.expose_secret())).collect()
    }

    #[test]
    fn libpq_finds_the_login_whatever_the_keys_are_called() {
        let wanted = ["PGHOST=db", "PGPORT=5433", "PGDATABASE=a b", "PGUSER=cafe_a", "PGPASSWORD=x"];
        let default =
            [("host", "db"), ("port", "5433"), ("database", "a b"), ("username", "cafe_a"), ("password", "x")];
        let env =
            [("DB_HOST", "db"), ("DB_PORT", "5433"), ("DB_NAME", "a b"), ("DB_USER", "cafe_a"), ("DB_PASSWORD", "x")];
        assert_eq!(shown(&libpq(&document(&default))), wanted);
        assert_eq!(shown(&libpq(&document(&env))), wanted);
    }

    #[test]
    fn the_parameters_of_the_uri_come_along_decoded() {
        let uri = "postgresql://a:b@h:1/d?sslmode=verify%2Dfull&options=-c%20x%3D1&foo=bar";
        assert_eq!(shown(&libpq(&document(&[("uri", uri)]))), ["PGSSLMODE=verify-full", "PGOPTIONS=-c x=1"]);
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(assignment("A", "a b"), "A='a b'");
        assert_eq!(assignment("A", "it's"), r"A='it'\''s'");
    }

    #[test]
    fn only_legal_upper_case_names_are_variables() {
        let document = document(&[("DB_HOST", "h"), ("username", "u"), ("9_LIVES", "n"), ("A-B", "d")]);
        assert_eq!(variables(&document).collect::<Vec<_>>(), [("DB_HOST", "h")]);
    }
}
