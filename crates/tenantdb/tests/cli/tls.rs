//! Whom a password is given to.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tenantdb_testkit::{Admin, Options, TestServer, majors};

use crate::world::{Run, World, tenant};

/// An authority that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A certificate for a host, and its key.
    pub fn issue(&self, host: &str, expires: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(expires, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server with a certificate for this host, which asks the administrator's login for its password by `method`.
    fn server(&self, major: u32, host: &str, expires: i32, method: &str) -> TestServer {
        let (certificate, key) = self.issue(host, expires);
        Options::new(major, Admin::Plain)
            .setting("ssl", "on")
            .setting("ssl_cert_file", "test.crt")
            .setting("ssl_key_file", "test.key")
            .file("test.crt", certificate)
            .file("test.key", key)
            .hba(&format!("host all admin_user 127.0.0.1/32 {method}"))
            .start()
    }

    /// Applies to a server with these words about TLS in its declaration.
    fn apply(&self, server: &TestServer, tls: &str) -> Run {
        self.apply_from(&World::on(server), tls)
    }

    fn apply_from(&self, world: &World, tls: &str) -> Run {
        world.write("ca.pem", &self.certificate);
        let declared = std::fs::read_to_string(world.folder().join("server.yaml")).unwrap();
        let without = declared.lines().filter(|line| !line.contains("tls:")).collect::<Vec<_>>().join("\n");
        world.write("server.yaml", &format!("{without}\n{tls}\n"));
        world.apply(&tenant("cafe", "{}"))
    }
}

const VERIFY_FULL: &str = "  tls: {mode: verify-full, caFrom: {file: ca.pem}}";
const VERIFY_CA: &str = "  tls: {mode: verify-ca, caFrom: {file: ca.pem}}";

/// What does not prove that whoever answers is the server.
const UNPROVED: [&str; 4] = ["  tls: {mode: disable}", "", "  tls: {mode: require}", VERIFY_CA];

fn on_each(test: impl Fn(u32)) {
    majors().into_iter().for_each(test);
}

#[test]
fn a_certificate_has_to_be_signed_by_the_declared_authority() {
    on_each(|major| {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let server = authority.server(major, "127.0.0.1", 2099, "scram-sha-256");
        for tls in [VERIFY_FULL, VERIFY_CA] {
            stranger.apply(&server, tls).exits(1).tells("certificate").tells("hint: check `tls.caFrom`, the host name");
        }
        let world = World::on(&server);
        authority.apply_from(&world, "  tls: {caFrom: {file: ca.pem}}").exits(0);
        assert_eq!(world.delivered("cafe")["ca.crt"], authority.certificate);
    });
}

#[test]
fn a_certificate_for_another_host_is_refused_where_the_name_counts() {
    on_each(|major| {
        let authority = Authority::new();
        let server = authority.server(major, "db.example.org", 2099, "scram-sha-256");
        authority
            .apply(&server, VERIFY_FULL)
            .exits(1)
            .tells("certificate")
            .tells("hint: check `tls.caFrom`, the host name");
        authority.apply(&server, VERIFY_CA).exits(0);
    });
}

#[test]
fn a_certificate_that_has_expired_is_refused() {
    on_each(|major| {
        let authority = Authority::new();
        let server = authority.server(major, "127.0.0.1", 2001, "scram-sha-256");
        for tls in [VERIFY_FULL, VERIFY_CA] {
            authority.apply(&server, tls).exits(1).tells("certificate").tells("and its dates");
        }
        authority.apply(&server, "  tls: {mode: require}").exits(0);
    });
}

#[test]
fn a_password_in_clear_text_is_for_the_proved_server_only() {
    on_each(|major| the_password_is_for_the_proved_server_only(major, "password", "mode: verify-full"));
}

#[test]
fn a_password_as_md5_is_for_the_proved_server_only() {
    on_each(|major| the_password_is_for_the_proved_server_only(major, "md5", "password_encryption"));
}

/// A server that asks for the password by a method that gives it away; the hint tells of `remedy`.
fn the_password_is_for_the_proved_server_only(major: u32, method: &str, remedy: &str) {
    let authority = Authority::new();
    let server = authority.server(major, "127.0.0.1", 2099, method);
    if method == "md5" {
        let password = server.admin_password();
        let by_md5 = format!("SET password_encryption = 'md5'; ALTER ROLE admin_user PASSWORD '{password}'");
        server.psql("postgres", &by_md5);
    }
    for tls in UNPROVED {
        let refused = authority.apply(&server, tls).exits(1);
        refused.tells("asks for the password in a way that gives it away").tells(remedy);
    }
    authority.apply(&server, VERIFY_FULL).exits(0);
}
