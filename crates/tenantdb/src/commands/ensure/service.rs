//! The service that a build script speaks of.

use tenantdb_api::tenant_database::{
    Adopt, Credentials, Extension, Rotation, RotationStrategy, SecretFormat, TenantDatabaseSpec,
};
use tenantdb_api::{Namespace, ObjectMeta, ObjectName, SqlName, TenantDatabase};
use tenantdb_core::{Authority, names};

use super::variables::{Environment, object_name};
use crate::error::Error;

/// What an application's name ends with, beside its database's.
const ROLES: [&str; 4] = ["-backend", "-frontend", "-api", "-app"];

/// A service, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Whose it is.
    pub authority: Authority,
    namespace: Namespace,
    name: ObjectName,
    database: SqlName,
    user: SqlName,
    /// What its own variables begin with: `CAFE_` for cafe-backend.
    own: String,
    vector: bool,
    /// Whether somebody chose the login's name.
    is_user_chosen: bool,
}

impl Service {
    /// The service of these variables; `prefix` is what its variables are to begin with, if somebody says so.
    pub fn of(environment: &impl Environment, prefix: Option<&str>) -> Result<Self, Error> {
        let app = environment.get("APP_NAME")?;
        let short = app.as_deref().map(short_name);
        let namespace = environment.get("NAMESPACE")?;
        let named = environment.get("SERVICE_DB_NAME")?;
        let (from, database) =
            [("SERVICE_DB_NAME", named.as_deref()), ("APP_NAME", short), ("NAMESPACE", namespace.as_deref())]
                .into_iter()
                .find_map(|(from, name)| Some((from, name.filter(|name| !name.is_empty())?)))
                .ok_or_else(|| Error::input("the service has no name", "set SERVICE_DB_NAME, APP_NAME or NAMESPACE"))?;
        let user = environment.get("SERVICE_DB_USER")?;
        let is_user_chosen = user.is_some();
        let (user_from, user) = match user {
            Some(user) => ("SERVICE_DB_USER", user),
            None => (from, format!("{database}_user")),
        };
        let wrong = |from: &str, set: &str, message: String| {
            Error::input(format!("{from}: {message}"), format!("set {set} to another name"))
        };
        let (application, own) = (app.as_deref().unwrap_or(database), short.unwrap_or(database));
        let service = Self {
            namespace: match &namespace {
                Some(name) => name.parse().map_err(|why| wrong("NAMESPACE", "it", format!("{why}")))?,
                None => Namespace::default(),
            },
            authority: authority(environment, namespace.as_deref(), application)?,
            name: object_name(database).or_else(|| object_name(application)).ok_or_else(|| {
                wrong(from, "APP_NAME", format!("`{database}` has no letter that a Kubernetes name may have"))
            })?,
            database: names::check_database(database).map_err(|why| wrong(from, "SERVICE_DB_NAME", why.to_string()))?,
            user: names::check_owner(&user).map_err(|why| wrong(user_from, "SERVICE_DB_USER", why.to_string()))?,
            own: prefix.map_or_else(|| Ok(variable(own)), checked_prefix)? + "_",
            vector: environment.flag("ENABLE_PGVECTOR")?.unwrap_or(false),
            is_user_chosen,
        };
        Ok(service)
    }

    /// What is declared for it.
    pub fn declaration(&self, adopt: bool) -> TenantDatabase {
        let vector = || Extension { name: "vector".parse().expect("a name"), version: None, schema: None };
        TenantDatabase {
            metadata: ObjectMeta {
                name: self.name.clone(),
                namespace: Some(self.namespace.clone()),
                labels: std::collections::BTreeMap::new(),
                annotations: std::collections::BTreeMap::new(),
            },
            spec: TenantDatabaseSpec {
                database: Some(self.database.clone()),
                owner: Some(self.user.clone()),
                adopt: if adopt { Adopt::Existing } else { Adopt::default() },
                extensions: self.vector.then(vector).into_iter().collect(),
                credentials: Credentials {
                    formats: vec![SecretFormat::Env],
                    keys: [(format!("{}POSTGRES_URL", self.own), "{uri}".to_owned())].into(),
                    rotation: Rotation { strategy: RotationStrategy::InPlace, ..Rotation::default() },
                    ..Credentials::default()
                },
                ..TenantDatabaseSpec::default()
            },
        }
    }

    /// The same for a cluster, on a server of this name: what nobody chose is for that server's `naming`.
    pub fn declaration_for_cluster(&self, adopt: bool, server: Option<ObjectName>) -> TenantDatabase {
        let mut declaration = self.declaration(adopt);
        let spec = &mut declaration.spec;
        spec.server = server;
        spec.database.take_if(|database| database.as_str() == self.name.as_str());
        spec.owner.take_if(|_| !self.is_user_chosen);
        declaration
    }

    /// What all its variables begin with, if somebody said so.
    pub fn prefix(&self, asked: Option<&str>) -> &str {
        asked.map_or("", |_| &self.own)
    }
}

/// An application's name without its role.
fn short_name(app: &str) -> &str {
    ROLES.iter().find_map(|role| app.strip_suffix(role)).unwrap_or(app)
}

/// A name as the beginning of a variable's.
fn variable(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = name.chars().map(legal).collect();
    if variable.starts_with(|first: char| first.is_ascii_digit()) { format!("_{variable}") } else { variable }
}

fn checked_prefix(prefix: &str) -> Result<String, Error> {
    let prefix = prefix.strip_suffix('_').unwrap_or(prefix);
    if !prefix.is_empty() && variable(prefix) == prefix {
        return Ok(prefix.to_owned());
    }
    let message = format!("--prefix: `{prefix}` can't begin a variable's name");
    Err(Error::input(message, "use upper-case letters, digits and `_`, such as CAFE"))
}

/// Whose the database is.
fn authority(environment: &impl Environment, namespace: Option<&str>, application: &str) -> Result<Authority, Error> {
    let hint = "set TENANTDB_PROJECT to letters, digits, `-`, `_`, `.` and `/`";
    let id = if let Some(id) = environment.get("TENANTDB_PROJECT")? {
        id
    } else {
        let application: Option<ObjectName> = object_name(application);
        let application = application.ok_or_else(|| Error::input("the application's name has no letters", hint))?;
        format!("ensure/{}/{application}", namespace.unwrap_or("default"))
    };
    Authority::project(&id).map_err(|why| Error::input(why.to_string(), hint))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(variables: &[(&'static str, &'static str)]) -> Result<Service, String> {
        let environment: BTreeMap<&str, &str> = variables.iter().copied().collect();
        Service::of(&environment, None).map_err(|error| error.message())
    }

    /// Namespace, name, database, login, and the variable with the URL.
    fn shown(service: &Service) -> [String; 5] {
        let key = service.declaration(false).spec.credentials.keys.into_keys().next().unwrap();
        [
            service.namespace.to_string(),
            service.name.to_string(),
            service.database.to_string(),
            service.user.to_string(),
            key,
        ]
    }

    #[test]
    fn a_service_is_inferred_as_the_script_did() {
        for (variables, expected) in [
            (
                &[("SERVICE_DB_NAME", "cafe"), ("APP_NAME", "cafe-backend")][..],
                ["default", "cafe", "cafe", "cafe_user", "CAFE_POSTGRES_URL"],
            ),
            (&[("APP_NAME", "erp-api"), ("NAMESPACE", "erp")], ["erp", "erp", "erp", "erp_user", "ERP_POSTGRES_URL"]),
            (&[("APP_NAME", "shop-frontend")], ["default", "shop", "shop", "shop_user", "SHOP_POSTGRES_URL"]),
            (&[("APP_NAME", "my-app")], ["default", "my", "my", "my_user", "MY_POSTGRES_URL"]),
            (
                &[("NAMESPACE", "treasury")],
                ["treasury", "treasury", "treasury", "treasury_user", "TREASURY_POSTGRES_URL"],
            ),
            (
                &[("APP_NAME", "isp-billing-backend")],
                ["default", "isp-billing", "isp-billing", "isp-billing_user", "ISP_BILLING_POSTGRES_URL"],
            ),
            (
                &[("SERVICE_DB_NAME", "isp_billing"), ("SERVICE_DB_USER", "isp"), ("APP_NAME", "isp-app")],
                ["default", "isp-billing", "isp_billing", "isp", "ISP_POSTGRES_URL"],
            ),
            (&[("SERVICE_DB_NAME", "2fa")], ["default", "2fa", "2fa", "2fa_user", "_2FA_POSTGRES_URL"]),
            (
                &[("SERVICE_DB_NAME", ""), ("APP_NAME", ""), ("NAMESPACE", "erp")],
                ["erp", "erp", "erp", "erp_user", "ERP_POSTGRES_URL"],
            ),
        ] {
            assert_eq!(shown(&of(variables).unwrap()), expected, "{variables:?}");
        }
    }

    #[test]
    fn it_belongs_to_its_application_unless_somebody_says_otherwise() {
        let authority = |variables| of(variables).unwrap().authority.to_string();
        assert_eq!(
            authority(&[("APP_NAME", "cafe-backend"), ("NAMESPACE", "cafe")]),
            "project:ensure/cafe/cafe-backend"
        );
        assert_eq!(authority(&[("SERVICE_DB_NAME", "isp_billing")]), "project:ensure/default/isp-billing");
        assert_eq!(authority(&[("APP_NAME", "cafe-api"), ("TENANTDB_PROJECT", "cafe")]), "project:cafe");
    }

    #[test]
    fn what_can_not_be_a_name_is_refused_by_the_name_of_its_variable() {
        let long = "x".repeat(64);
        let long: &'static str = long.leak();
        for (variables, message) in [
            (&[][..], "the service has no name"),
            (&[("APP_NAME", "-backend")], "the service has no name"),
            (&[("SERVICE_DB_NAME", long)], "SERVICE_DB_NAME: "),
            (&[("APP_NAME", long)], "APP_NAME: "),
            (&[("SERVICE_DB_NAME", "a"), ("SERVICE_DB_USER", long)], "SERVICE_DB_USER: "),
            (&[("SERVICE_DB_NAME", "a\nb")], "SERVICE_DB_NAME holds a control character"),
            (&[("SERVICE_DB_NAME", " a")], "SERVICE_DB_NAME begins or ends with a space"),
            (&[("SERVICE_DB_NAME", "a"), ("NAMESPACE", "My_Space")], "NAMESPACE: "),
            (&[("SERVICE_DB_NAME", "データ")], "the application's name has no letters"),
            (&[("SERVICE_DB_NAME", "a"), ("TENANTDB_PROJECT", "a b")], "`project:a b` is not an authority"),
            (&[("SERVICE_DB_NAME", "a"), ("ENABLE_PGVECTOR", "1")], "ENABLE_PGVECTOR is `1`"),
        ] {
            let refused = of(variables).unwrap_err();
            assert!(refused.starts_with(message), "{variables:?}: {refused}");
        }
    }

    #[test]
    fn a_prefix_begins_every_variable() {
        let environment = BTreeMap::from([("APP_NAME", "cafe-backend")]);
        for asked in ["QUEUE", "QUEUE_"] {
            let service = Service::of(&environment, Some(asked)).unwrap();
            assert_eq!(service.prefix(Some(asked)), "QUEUE_");
            assert_eq!(shown(&service)[4], "QUEUE_POSTGRES_URL");
        }
        assert_eq!(Service::of(&environment, None).unwrap().prefix(None), "");
        for wrong in ["", "_", "cafe", "9", "A-B", "A B"] {
            assert!(Service::of(&environment, Some(wrong)).is_err(), "{wrong}");
        }
    }
}
