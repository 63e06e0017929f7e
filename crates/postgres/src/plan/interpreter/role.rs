//! Roles, and those that carry a level of access.

use super::*;

impl World {
    pub(super) fn role_step(&mut self, step: &RoleStep) {
        match step {
            RoleStep::CreateOwner { owner, .. } => self.make_role(owner, powerless()),
            RoleStep::TakePowers { role, .. } => {
                let role = self.role(role);
                (role.superuser, role.create_db, role.create_role) = (false, false, false);
                (role.replication, role.bypass_rls) = (false, false);
            }
            RoleStep::GrantMembership { role, owner, .. } => {
                let (owner, grantor) = (owner.clone(), ESTATE.to_owned());
                let role = self.role(role);
                role.member_of.insert(owner.clone());
                role.granted.push(Granted { role: owner, grantor, inherit: false, set: true, admin: false });
            }
            RoleStep::JoinRole { role, member, options, .. } => {
                let shared = role.clone();
                let role = self.role(member);
                role.inherits.insert(shared.clone());
                if !options {
                    role.member_of.insert(shared.clone());
                }
                let grantor = ESTATE.to_owned();
                role.granted.push(Granted { role: shared, grantor, inherit: true, set: !options, admin: false });
            }
            RoleStep::LeaveRole { role, member, grantor, .. } => self.leave_role(role, member, grantor.as_ref()),
            RoleStep::DropRoles { roles } => self.drop_roles(roles),
        }
    }

    fn leave_role(&mut self, shared: &String, member: &str, grantor: Option<&String>) {
        let role = self.role(member);
        let is_this =
            |granted: &Granted| granted.role == *shared && grantor.is_none_or(|grantor| granted.grantor == *grantor);
        assert!(role.granted.iter().any(is_this), "{member} is no member of {shared}");
        role.granted.retain(|granted| !is_this(granted));
        let left = |holds: fn(&Granted) -> bool| {
            let rest = role.granted.iter().filter(|granted| holds(granted));
            rest.map(|granted| granted.role.clone()).collect::<BTreeSet<_>>()
        };
        let (member_of, inherits) = (left(|granted| granted.set), left(|granted| granted.inherit));
        let administers = left(|granted| granted.admin);
        role.member_of.retain(|role| role != shared || member_of.contains(role));
        role.inherits.retain(|role| role != shared || inherits.contains(role));
        role.administers.retain(|role| role != shared || administers.contains(role));
    }

    pub(super) fn level_step(&mut self, tenant: &TenantPlan<PostgresStep>, step: &LevelStep) {
        match step {
            LevelStep::CreateLevel { role } => {
                self.make_role(role, powerless());
                self.row(tenant).levels.insert(role.clone());
                let holder = self.ledger().roles.insert(role.clone(), tenant.claim.clone());
                assert!(holder.is_none_or(|holder| holder == tenant.claim), "{role} is somebody else's");
            }
            LevelStep::GrantLevel { role, level, .. } => {
                assert!(self.observed.shared.roles.contains_key(role), "no role {role}");
                let schemas = &self.inside(&tenant.database).schemas;
                assert!(level.schemas.iter().all(|schema| schemas.contains_key(schema)), "a schema is missing");
                self.inside(&tenant.database).levels.insert(role.clone(), Privileges::default());
            }
            LevelStep::EmptyLevels { roles, .. } => {
                self.inside(&tenant.database).levels.retain(|role, _| !roles.contains(role));
            }
            LevelStep::DropLevels { roles } => {
                let there: Vec<String> =
                    roles.iter().filter(|role| self.observed.shared.roles.contains_key(*role)).cloned().collect();
                self.drop_roles(&there);
                self.row(tenant).levels.retain(|role| !roles.contains(role));
            }
        }
    }

    pub(super) fn make_role(&mut self, name: &str, role: Role) {
        assert!(self.observed.shared.roles.insert(name.to_owned(), role).is_none(), "{name} exists");
        self.role(ESTATE).administers.insert(name.to_owned());
    }

    fn drop_roles(&mut self, roles: &[String]) {
        for role in roles {
            let granted = |database: &Database| database.grants.contains_key(&Some(role.clone()));
            assert!(!self.observed.shared.databases.values().any(granted), "{role} still has privileges");
            self.observed.shared.roles.remove(role).expect("a role");
            for other in self.observed.shared.roles.values_mut() {
                other.member_of.remove(role);
                other.inherits.remove(role);
                other.members.remove(role);
            }
            self.accepted.remove(role);
        }
    }
}

/// As `CREATE ROLE` makes it.
fn powerless() -> Role {
    Role { inherit: true, connection_limit: -1, ..Role::default() }
}
