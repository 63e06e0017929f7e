//! What is in a database.

use super::*;

impl World {
    pub(super) fn content_step(&mut self, tenant: &TenantPlan<PostgresStep>, step: &ContentStep, in_hand: &InHand) {
        match step {
            ContentStep::OwnSchema { schema, owner, .. } => {
                self.inside(&tenant.database).schemas.insert(schema.clone(), owner.clone()).expect("a schema");
            }
            ContentStep::CreateSchema { schema, owner } => {
                self.inside(&tenant.database).schemas.entry(schema.clone()).or_insert_with(|| owner.clone());
            }
            ContentStep::CreateExtension { extension, schema, version, making } => {
                self.create_extension(tenant, extension, schema, version.as_ref(), making);
            }
            ContentStep::ChangeExtension { extension, change, .. } => match change {
                Change::Version { version, .. } => {
                    version.clone_into(&mut self.extension(tenant, extension).version);
                }
                Change::Schema(schema) => {
                    assert!(self.inside(&tenant.database).schemas.contains_key(schema), "no schema {schema}");
                    schema.clone_into(&mut self.extension(tenant, extension).schema);
                }
            },
            ContentStep::RunScript { role, database, script } => {
                assert_eq!(self.accepted.get(role), Some(&in_hand.login()), "{role} can't log in");
                assert!(self.database(database).allows_connections, "database {database} is closed");
                self.role(role).settings.insert((Some(database.clone()), MARKED.to_owned()), init::mark(script));
                self.ran.push(script.name().to_owned());
            }
            ContentStep::RecordScript { role, database, name, digest, declared } => {
                let setting = (Some(database.clone()), MARKED.to_owned());
                match declared {
                    Some(declared) => drop(self.role(role).settings.insert(setting, declared.clone())),
                    None => drop(self.role(role).settings.remove(&setting)),
                }
                let row = ScriptRow { name: name.clone(), digest: digest.clone() };
                self.row(tenant).scripts.push(row);
            }
            ContentStep::EmptySlot { role, database, stays, .. } => {
                if let Some(ties) = self.observed.ties.get_mut(database) {
                    ties.remove(role);
                }
                for found in self.observed.shared.databases.values_mut() {
                    found.grants.remove(&Some(role.clone()));
                }
                if *stays {
                    let let_in = privileges(["CONNECT", "TEMPORARY"]);
                    self.database(database).grants.insert(Some(role.clone()), let_in);
                }
            }
            ContentStep::LeaveDatabase { roles, database, .. } => {
                self.observed.ties.entry(database.clone()).or_default().retain(|role, _| !roles.contains(role));
            }
        }
    }

    fn extension(&mut self, tenant: &TenantPlan<PostgresStep>, name: &str) -> &mut Installed {
        self.inside(&tenant.database).extensions.get_mut(name).unwrap_or_else(|| panic!("no extension {name}"))
    }

    fn create_extension(
        &mut self,
        tenant: &TenantPlan<PostgresStep>,
        name: &str,
        schema: &str,
        version: Option<&String>,
        making: &Making,
    ) {
        let inside = self.inside(&tenant.database);
        if let Making::New { owner } = making {
            let owner = owner.clone().unwrap_or_default();
            assert!(inside.schemas.insert(schema.to_owned(), owner).is_none(), "schema {schema} exists");
        }
        assert!(inside.schemas.contains_key(schema), "no schema {schema}");
        let installed = Installed {
            version: version.cloned().unwrap_or_else(|| "1.0".to_owned()),
            schema: schema.to_owned(),
            owner: ESTATE.to_owned(),
            relocatable: true,
        };
        assert!(inside.extensions.insert(name.to_owned(), installed).is_none(), "{name} exists");
    }
}
