//! Databases as a whole, and the sessions in them.

use super::*;

impl World {
    pub(super) fn database_step(&mut self, step: &DatabaseStep) {
        match step {
            DatabaseStep::CreateDatabase { database, limit, .. } => self.create_database(database, *limit),
            DatabaseStep::AdoptDatabase { database, owner, login, administer, schemas, .. } => {
                if *administer {
                    self.role(ESTATE).administers.insert(owner.clone());
                }
                for schema in schemas {
                    self.inside(database).schemas.insert(schema.clone(), owner.clone()).expect("a schema");
                }
                let database = self.database(database);
                // What its owner was granted goes with the ownership.
                database.grants.remove(&Some(database.owner.clone()));
                ESTATE.clone_into(&mut database.owner);
                let connect = login.then_some("CONNECT");
                grant(database, owner, ["CREATE", "TEMPORARY"].into_iter().chain(connect));
            }
            DatabaseStep::Admit { database, login, .. } => grant(self.database(database), login, ["CONNECT"]),
            DatabaseStep::Isolate { database, public, connect, visitors, create } => {
                let database = self.database(database);
                if *public {
                    database.grants.remove(&None).expect("PUBLIC to be in");
                }
                for login in connect.iter().filter(|login| *login != ESTATE) {
                    grant(database, login, ["CONNECT", "TEMPORARY"]);
                }
                for visitor in visitors {
                    grant(database, visitor, ["CONNECT"]);
                }
                if let Some(owner) = create {
                    grant(database, owner, ["CREATE", "TEMPORARY"]);
                }
            }
            DatabaseStep::Dismiss { database, visitors, .. } => {
                for visitor in visitors {
                    self.database(database).grants.remove(&Some(visitor.clone())).expect("a grant");
                }
            }
            DatabaseStep::OwnDatabase { database, .. } => ESTATE.clone_into(&mut self.database(database).owner),
            DatabaseStep::UnmarkTemplate { database } => self.database(database).is_template = false,
            DatabaseStep::LimitDatabase { database, limit } => {
                self.database(database).connection_limit = limit.unwrap_or(-1);
            }
            DatabaseStep::Comment { database, comment } => self.database(database).comment.clone_from(comment),
            DatabaseStep::OpenDatabase { database, .. } => self.database(database).allows_connections = true,
            DatabaseStep::CloseDatabase { database } => self.database(database).allows_connections = false,
            DatabaseStep::DropDatabase { database } => {
                assert!(self.observed.shared.databases.contains_key(database), "no database {database}");
                self.drop_database(database);
            }
        }
    }

    fn create_database(&mut self, name: &str, limit: Option<i32>) {
        let made = Database {
            oid: self.fresh(),
            owner: ESTATE.to_owned(),
            allows_connections: false,
            connection_limit: limit.unwrap_or(-1),
            grants: BTreeMap::from([(None, privileges(["CONNECT", "TEMPORARY"]))]),
            ..Database::default()
        };
        let inside = Inside {
            foreign: BTreeMap::new(),
            schemas: BTreeMap::from([("public".to_owned(), "pg_database_owner".to_owned())]),
            extensions: BTreeMap::from([("plpgsql".to_owned(), Installed::default())]),
            ..Inside::default()
        };
        self.observed.inside.insert(name.to_owned(), inside);
        assert!(self.observed.shared.databases.insert(name.to_owned(), made).is_none(), "{name} exists");
    }

    /// A database takes with it what was set in it.
    pub(in crate::plan) fn drop_database(&mut self, name: &str) {
        self.observed.shared.databases.remove(name);
        self.observed.inside.remove(name);
        for role in self.observed.shared.roles.values_mut() {
            role.settings.retain(|(scope, _), _| scope.as_deref() != Some(name));
        }
    }

    pub(super) fn session_step(&mut self, step: &SessionStep) {
        match step {
            SessionStep::EndSessions { database, own, strangers, outsiders, .. } => {
                let sessions = &mut self.database(database).sessions;
                sessions.retain(|login, _| ![own, strangers, outsiders].iter().any(|ended| ended.contains(login)));
            }
            SessionStep::EndLocks { logins, roles, .. } => {
                for role in roles {
                    self.role(role).locked_by.retain(|login| !logins.contains(login));
                }
            }
        }
    }
}

fn grant(database: &mut Database, role: &str, names: impl IntoIterator<Item = &'static str>) {
    database.grants.entry(Some(role.to_owned())).or_default().extend(privileges(names));
}
