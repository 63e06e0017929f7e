//! What logs in.

use super::*;

impl World {
    pub(super) fn login_step(&mut self, tenant: &TenantPlan<PostgresStep>, step: &LoginStep, in_hand: &InHand) {
        match step {
            LoginStep::CreateSlot { role, owner, database, how, login, limit, settings } => {
                let inherit = *how != Membership::Switch;
                let switch = (!inherit).then(|| ((None, "role".to_owned()), owner.clone()));
                let made = Role {
                    login: *login,
                    inherit,
                    inherits: inherit.then(|| owner.clone()).into_iter().collect(),
                    connection_limit: limit.unwrap_or(-1),
                    member_of: BTreeSet::from([owner.clone()]),
                    settings: switch.into_iter().chain(settings_in(database.as_ref(), settings)).collect(),
                    ..Role::default()
                };
                self.make_login(role, made, in_hand);
            }
            LoginStep::CreateOwnerLogin { owner, database, login, limit, settings } => {
                let made = Role {
                    login: login.is_some(),
                    inherit: true,
                    connection_limit: limit.unwrap_or(-1),
                    settings: settings_in(database.as_ref(), settings).collect(),
                    ..Role::default()
                };
                self.make_login(owner, made, in_hand);
            }
            LoginStep::EnableLogin { role, .. } => {
                self.role(role).login = true;
                self.accepted.insert(role.clone(), in_hand.login());
            }
            LoginStep::DisableLogin { role } => self.end_login(role),
            LoginStep::EndLogins { from, roles } => {
                for role in roles {
                    self.end_login(role);
                }
                retire(self.ledger().tenants.get_mut(from).expect("an orphan"));
            }
            LoginStep::RetireLogin { role, .. } => {
                self.end_login(role);
                self.slot(tenant, role).state = SlotState::Retired;
            }
            LoginStep::LiftExpiry { role } => self.role(role).expires = false,
            LoginStep::SetInherit { role, inherit } => self.role(role).inherit = *inherit,
            LoginStep::Set { role, database, parameter, value } => {
                self.role(role).settings.insert((database.clone(), parameter.clone()), value.clone());
            }
            LoginStep::Reset { role, database, parameter, .. } => {
                self.role(role).settings.remove(&(database.clone(), parameter.clone())).expect("a setting");
            }
            LoginStep::LimitRole { role, limit } => self.role(role).connection_limit = limit.unwrap_or(-1),
        }
    }

    fn make_login(&mut self, name: &str, role: Role, in_hand: &InHand) {
        if role.login {
            self.accepted.insert(name.to_owned(), in_hand.login());
        }
        self.make_role(name, role);
    }

    fn end_login(&mut self, role: &str) {
        self.role(role).login = false;
        self.accepted.remove(role);
    }
}

fn settings_in(
    database: Option<&String>,
    settings: &BTreeMap<String, String>,
) -> impl Iterator<Item = ((Option<String>, String), String)> {
    settings.iter().map(move |(name, value)| ((database.cloned(), name.clone()), value.clone()))
}
