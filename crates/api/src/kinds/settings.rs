//! The settings that a declaration may make.

use std::collections::BTreeMap;

use super::Violation;
use super::tenant_database::SettingValue;
use crate::values::SettingName;

/// Why a setting can't be made, or `None` when it can.
pub(super) fn refusal(name: &SettingName) -> Option<&'static str> {
    match name.as_str() {
        "role" => Some("tenantdb sets it itself, so that every login works as the tenant"),
        "session_authorization" => Some("only a superuser could log in with it"),
        "client_min_messages" => Some("tenantdb has to see the server's warnings"),
        name if name.ends_with("_preload_libraries") => Some("it would load libraries into the server's processes"),
        _ => None,
    }
}

/// Checks the settings that stand at `path`.
pub(super) fn check(path: &str, settings: &BTreeMap<SettingName, SettingValue>, found: &mut Vec<Violation>) {
    for (name, value) in settings {
        let path = format!("{path}.{name}");
        if let Some(reason) = refusal(name) {
            found.push(Violation::new(&path, format!("{path} can't be set")).hint(reason).on_key());
        } else if name.as_str() == "search_path" {
            found.push(Violation::not_supported_yet(&path).on_key());
        }
        if value.as_str().contains(['\0', '\n', '\r']) {
            found.push(Violation::new(&path, format!("{path} can't hold a line break or a NUL character")));
        }
    }
}
