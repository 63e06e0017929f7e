use std::collections::BTreeMap;

use tenantdb_core::{Authority, Claim};

use super::*;

pub(crate) fn delivery(database: &str) -> Delivery {
    Delivery {
        claim: Claim {
            authority: Authority::project("test").unwrap(),
            kind: "TenantDatabase",
            namespace: "default".parse().unwrap(),
            name: "cafe".parse().unwrap(),
        },
        secret_name: "cafe-secret".parse().unwrap(),
        server: "shared".parse().unwrap(),
        database: database.parse().unwrap(),
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
    }
}

pub(crate) fn login(username: &str, password: &str) -> Login {
    Login { username: username.parse().unwrap(), password: Password::new(password.to_owned()) }
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
    assert_eq!(read_login(&document).unwrap().username.as_str(), "cafe_a");
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
