use std::collections::BTreeMap;

use tenantdb_api::tenant_database::SecretType;
use tenantdb_core::{Authority, Claim, Existing, Held, Provenance, Version};

use super::*;

pub(crate) fn delivery(database: &str) -> Delivery {
    Delivery {
        claim: Claim {
            authority: Authority::project("test").unwrap(),
            kind: "TenantDatabase",
            namespace: "default".parse().unwrap(),
            name: "cafe".parse().unwrap(),
            access: None,
        },
        secret_name: "cafe-secret".parse().unwrap(),
        server: "shared".parse().unwrap(),
        database: database.parse().unwrap(),
        acts_as: None,
        endpoint: Endpoint {
            scheme: "postgresql",
            address: Address { host: "db.example".to_owned(), port: 5433 },
            direct: None,
            read_only: None,
            parameters: BTreeMap::from([("sslmode".to_owned(), "require".to_owned())]),
            authority: None,
        },
        formats: vec![SecretFormat::Default],
        keys: BTreeMap::new(),
        secret_type: SecretType::Opaque,
        existing: Existing::LeftAlone,
        uid: None,
    }
}

pub(crate) fn holding(login: &Login, generation: u64, next: Option<&Login>, current: bool, version: Version) -> Held {
    let (username, generation) = (login.username.clone(), Generation(generation));
    let next = next.map(Login::digest);
    Held::Credential {
        username,
        generation,
        login: login.digest(),
        next,
        current,
        provenance: Provenance::Claimed,
        version,
    }
}

pub(crate) fn login(username: &str, password: &str) -> Login {
    Login { username: username.parse().unwrap(), password: Some(Password::new(password.to_owned())) }
}

#[test]
fn others_read_what_their_own_operators_would_have_written() {
    let mut delivery = delivery("café");
    let (login, generation) = (login("cafe_a", "p:ss"), Generation(4));
    let mut of = |formats: &[SecretFormat]| {
        delivery.formats = formats.to_vec();
        let document = render(&delivery, &login, generation).unwrap();
        document.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let uri = "postgresql://cafe_a:p%3Ass@db.example:5433/caf%C3%A9?sslmode=require";
    let jdbc = "jdbc:postgresql://db.example:5433/caf%C3%A9?user=cafe_a&password=p%3Ass&sslmode=require";
    let cnpg = [
        "username=cafe_a",
        "user=cafe_a",
        "password=p:ss",
        "dbname=café",
        "host=db.example",
        "port=5433",
        "pgpass=db.example:5433:café:cafe_a:p\\:ss\n",
        &format!("uri={uri}"),
        &format!("jdbc-uri={jdbc}"),
        &format!("fqdn-uri={uri}"),
        &format!("fqdn-jdbc-uri={jdbc}"),
        "database=café",
        "generation=4",
    ];
    assert_eq!(of(&[SecretFormat::Cnpg]), cnpg);
    let crossplane =
        ["username=cafe_a", "password=p:ss", "endpoint=db.example", "port=5433", "database=café", "generation=4"];
    assert_eq!(of(&[SecretFormat::Crossplane]), crossplane);
    let binding = [
        "type=postgresql",
        "provider=tenantdb",
        "host=db.example",
        "port=5433",
        "database=café",
        &format!("uri={uri}"),
        "username=cafe_a",
        "password=p:ss",
        "generation=4",
    ];
    assert_eq!(of(&[SecretFormat::ServiceBinding]), binding);
}

#[test]
fn the_default_format_is_what_every_setup_reads() {
    let document = render(&delivery("cafe"), &login("cafe_a", "pass"), Generation(4)).unwrap();
    let keys: Vec<&str> = document.iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "username",
            "password",
            "host",
            "endpoint",
            "port",
            "database",
            "uri",
            "DATABASE_URL",
            "DB_HOST",
            "DB_PORT",
            "DB_NAME",
            "DB_USER",
            "DB_PASSWORD",
            "generation"
        ]
    );
    assert_eq!(document.get("uri"), Some("postgresql://cafe_a:pass@db.example:5433/cafe?sslmode=require"));
    assert_eq!(document.get("endpoint"), Some("db.example"));
    assert_eq!(document.get("generation"), Some("4"));
}

#[test]
fn a_uri_encodes_what_needs_it() {
    let document = render(&delivery("b/ü ?"), &login("o@x", "p:w/d$%"), Generation(1)).unwrap();
    assert_eq!(
        document.get("uri"),
        Some("postgresql://o%40x:p%3Aw%2Fd%24%25@db.example:5433/b%2F%C3%BC%20%3F?sslmode=require")
    );
}

#[test]
fn keys_are_filled_from_templates() {
    let mut delivery = delivery("cafe");
    delivery.formats = vec![SecretFormat::Env];
    delivery.keys = BTreeMap::from([
        ("CAFE_POSTGRES_URL".to_owned(), "{uri}&application_name=cafe".to_owned()),
        ("JSON".to_owned(), "{{\"user\": \"{username}\"}}".to_owned()),
    ]);
    let document = render(&delivery, &login("cafe_a", "pass"), Generation(1)).unwrap();
    assert_eq!(document.get("JSON"), Some("{\"user\": \"cafe_a\"}"));
    assert!(document.get("CAFE_POSTGRES_URL").unwrap().ends_with("?sslmode=require&application_name=cafe"));
    assert_eq!(document.get("username"), None);
    let (read, next) = read_logins(&document).unwrap();
    assert_eq!((read.username.as_str(), next.is_none()), ("cafe_a", true));
}

#[test]
fn without_a_password_there_is_no_key_that_holds_one() {
    let login = Login { username: "cafe".parse().unwrap(), password: None };
    let document = render(&delivery("cafe"), &login, Generation(1)).unwrap();
    assert_eq!(document.get("uri"), Some("postgresql://cafe@db.example:5433/cafe?sslmode=require"));
    assert_eq!((document.get("password"), document.get("DB_PASSWORD")), (None, None));
    assert_eq!(read_logins(&document).unwrap().0.digest(), login.digest());
}

#[test]
fn a_staged_password_stands_beside_the_one_that_still_works() {
    let (now, later) = (login("cafe", "now"), login("cafe", "later"));
    let document = render(&delivery("cafe"), &now, Generation(1)).unwrap();
    let staged = stage(document.clone(), later.password.as_ref().unwrap());
    assert_eq!(staged.get("password_next"), Some("later"));
    let (read, next) = read_logins(&staged).unwrap();
    assert_eq!((read.digest(), next.unwrap().digest()), (now.digest(), later.digest()));
    assert!(staged != document, "a document with a staged password is not as declared");
}

#[test]
fn a_login_is_read_from_whichever_keys_are_whole() {
    let entry = |key: &str, value: &str| (key.to_owned(), SecretString::from(value));
    let half = Document::new([entry("username", "cafe_a"), entry("DB_USER", "cafe_a"), entry("DB_PASSWORD", "pass")]);
    assert_eq!(read_logins(&half).unwrap().0.digest(), login("cafe_a", "pass").digest());
}

#[test]
fn what_a_server_publishes_beside_its_address_has_keys_of_its_own() {
    let mut delivery = delivery("cafe");
    let at = |host: &str, port| Some(Address { host: host.to_owned(), port });
    (delivery.endpoint.direct, delivery.endpoint.read_only) = (at("direct", 1), at("::1", 2));
    delivery.endpoint.authority = Some("PEM".to_owned());
    delivery.keys = BTreeMap::from([("MIGRATIONS".to_owned(), "{uri_direct}".to_owned())]);
    let document = render(&delivery, &login("cafe_a", "pass"), Generation(1)).unwrap();
    let direct = "postgresql://cafe_a:pass@direct:1/cafe?sslmode=require";
    assert_eq!((document.get("uri_direct"), document.get("MIGRATIONS")), (Some(direct), Some(direct)));
    assert_eq!(document.get("uri_ro"), Some("postgresql://cafe_a:pass@[::1]:2/cafe?sslmode=require"));
    assert_eq!(document.get("ca.crt"), Some("PEM"));
    delivery.formats = vec![SecretFormat::Env];
    assert_eq!(render(&delivery, &login("cafe_a", "pass"), Generation(1)).unwrap().get("ca.crt"), None);
}

#[test]
fn a_template_without_its_other_brace_or_with_an_unknown_name_is_refused() {
    for bad in ["{uri", "uri}", "{name}", "{}", "{uri_direct}"] {
        let mut delivery = delivery("cafe");
        delivery.keys = BTreeMap::from([("KEY".to_owned(), bad.to_owned())]);
        assert!(render(&delivery, &login("cafe_a", "pass"), Generation(1)).is_err(), "{bad}");
    }
}

#[test]
fn a_document_shows_no_secret_when_it_is_printed() {
    let document = render(&delivery("cafe"), &login("cafe_a", "s3cr3t"), Generation(1)).unwrap();
    assert!(!format!("{document:?}").contains("s3cr3t"));
}
