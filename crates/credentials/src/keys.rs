//! The sets of keys of a credential.

use tenantdb_api::tenant_database::SecretFormat;

/// A key, and the name of the value that it holds.
type Entry = (&'static str, &'static str);

const ENV: [Entry; 6] = [
    ("DATABASE_URL", "uri"),
    ("DB_HOST", "host"),
    ("DB_PORT", "port"),
    ("DB_NAME", "database"),
    ("DB_USER", "username"),
    ("DB_PASSWORD", "password"),
];

const DEFAULT: [Entry; 17] = [
    ("username", "username"),
    ("password", "password"),
    ("host", "host"),
    ("endpoint", "endpoint"),
    ("port", "port"),
    ("database", "database"),
    ("uri", "uri"),
    ENV[0],
    ENV[1],
    ENV[2],
    ENV[3],
    ENV[4],
    ENV[5],
    ("generation", "generation"),
    ("uri_direct", "uri_direct"),
    ("uri_ro", "uri_ro"),
    ("ca.crt", "ca.crt"),
];

/// Those of CloudNativePG 1.30, which has the host's full name twice; ours is what the server publishes.
const CNPG: [Entry; 13] = [
    ("username", "username"),
    ("user", "username"),
    ("password", "password"),
    ("dbname", "database"),
    ("host", "host"),
    ("port", "port"),
    ("pgpass", "pgpass"),
    ("uri", "uri"),
    ("jdbc-uri", "jdbc-uri"),
    ("fqdn-uri", "uri"),
    ("fqdn-jdbc-uri", "jdbc-uri"),
    ("database", "database"),
    ("generation", "generation"),
];

const CROSSPLANE: [Entry; 6] = [
    ("username", "username"),
    ("password", "password"),
    ("endpoint", "endpoint"),
    ("port", "port"),
    ("database", "database"),
    ("generation", "generation"),
];

/// Service Binding specification 1.1, "Well-known Secret Entries".
const SERVICE_BINDING: [Entry; 9] = [
    ("type", "type"),
    ("provider", "provider"),
    ("host", "host"),
    ("port", "port"),
    ("database", "database"),
    ("uri", "uri"),
    ("username", "username"),
    ("password", "password"),
    ("generation", "generation"),
];

/// The keys of a format, in their order.
pub(crate) fn keys(format: SecretFormat) -> &'static [Entry] {
    match format {
        SecretFormat::Default => &DEFAULT,
        SecretFormat::Env => &ENV,
        SecretFormat::Cnpg => &CNPG,
        SecretFormat::Crossplane => &CROSSPLANE,
        SecretFormat::ServiceBinding => &SERVICE_BINDING,
    }
}
