use std::collections::BTreeMap;

use super::*;

fn login() -> Role {
    Role { login: true, ..Role::default() }
}

/// A server as `initdb` leaves it, with these further roles.
fn server(roles: &[(&str, Role)]) -> Observed {
    let superuser = Role { superuser: true, ..login() };
    let known = [("postgres", superuser)].into_iter().chain(roles.iter().cloned());
    let open = || {
        let public = BTreeSet::from(["CONNECT".to_owned(), "TEMPORARY".to_owned()]);
        Database { owner: "postgres".to_owned(), grants: BTreeMap::from([(None, public)]), ..Database::default() }
    };
    let shared = Shared {
        version: 18,
        login: "postgres".to_owned(),
        maintenance_database: "postgres".to_owned(),
        roles: known.map(|(name, role)| (name.to_owned(), role)).collect(),
        databases: SYSTEM_DATABASES.map(|name| (name.to_owned(), open())).into(),
        ..Shared::default()
    };
    Observed { shared, ..Observed::default() }
}

fn planned(observed: &Observed, logs_in: bool, connect_for: &[&str]) -> Result<Vec<(String, Risk)>, Failure> {
    let connect_for: Vec<String> = connect_for.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Wanted { admin: "admin_user", logs_in, connect_for: &connect_for };
    let plan = plan(&"shared".parse().unwrap(), &wanted, observed)?;
    assert_eq!(tenantdb_core::lint(&plan), Vec::<String>::new());
    Ok(plan.preparation.iter().map(|step| (step.task.statements().join("; "), step.risk)).collect())
}

fn statements(steps: &[(String, Risk)]) -> String {
    steps.iter().map(|(statement, risk)| format!("{risk:?}: {statement}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_new_server_gets_an_administrator_and_is_closed_to_everyone_else() {
    let reader = Role { inherits: BTreeSet::from(["staff".to_owned()]), ..login() };
    let mut observed =
        server(&[("old_app", login()), ("metabase", login()), ("reader", reader), ("staff", Role::default())]);
    let postgres = observed.shared.databases.get_mut("postgres").unwrap();
    postgres.grants.insert(Some("staff".to_owned()), BTreeSet::from(["CONNECT".to_owned()]));
    postgres.sessions.insert("old_app".to_owned(), 2);
    insta::assert_snapshot!(statements(&planned(&observed, false, &["metabase"]).unwrap()), @r#"
    Safe: CREATE ROLE "admin_user" LOGIN CREATEDB CREATEROLE PASSWORD '<verifier>'
    Safe: GRANT CONNECT ON DATABASE "postgres" TO "admin_user", "metabase"
    Disruptive: REVOKE CONNECT, TEMPORARY ON DATABASE "postgres" FROM PUBLIC
    Safe: GRANT CONNECT ON DATABASE "template1" TO "admin_user", "metabase"
    Disruptive: REVOKE CONNECT, TEMPORARY ON DATABASE "template1" FROM PUBLIC
    "#);
    let wanted = Wanted { admin: "admin_user", logs_in: false, connect_for: &[] };
    let plan = plan(&"shared".parse().unwrap(), &wanted, &observed).unwrap();
    let closed: Vec<String> = plan.preparation.iter().map(|step| step.task.describe()).collect();
    assert_eq!(
        closed[2], "database postgres: closed to PUBLIC, and so to metabase, old_app (connected now)",
        "whoever gets in through a role of its own keeps that"
    );
}

#[test]
fn a_login_that_is_there_is_given_what_it_lacks_and_its_password_only_with_consent() {
    let half = Role { create_db: true, ..login() };
    let steps = planned(&server(&[("admin_user", half)]), false, &[]).unwrap();
    assert_eq!(steps[0], ("ALTER ROLE \"admin_user\" CREATEROLE".to_owned(), Risk::Safe));
    assert_eq!(steps[1], ("ALTER ROLE \"admin_user\" PASSWORD '<verifier>'".to_owned(), Risk::Disruptive));
}

#[test]
fn an_estate_that_another_login_made_takes_the_administrator_in() {
    let admin = Role { create_db: true, create_role: true, ..login() };
    let estate = Role { login: false, ..admin.clone() };
    let steps = planned(&server(&[("admin_user", admin), (ESTATE, estate)]), true, &[]).unwrap();
    let joined = format!("GRANT {ESTATE} TO \"admin_user\" WITH INHERIT TRUE, SET TRUE");
    assert_eq!(steps[0], (joined, Risk::Safe));
}

#[test]
fn only_a_superuser_bootstraps() {
    let mut observed = server(&[("admin_user", login())]);
    observed.shared.login = "admin_user".to_owned();
    assert!(planned(&observed, true, &[]).unwrap_err().message.contains("is no superuser"));
}
