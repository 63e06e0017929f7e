//! What a declaration asks of a server, and the server may not have for it.

use tenantdb_api::did_you_mean;
use tenantdb_core::{Refusal, RefusalKind};

use crate::desired::Tenant;
use crate::observe::{Setter, Shared};

/// Checks the extensions and settings of a tenant.
pub(super) fn check(tenant: &Tenant, shared: &Shared) -> Result<(), Refusal> {
    tenant.applied.extensions.iter().try_for_each(|name| check_extension(name, shared))?;
    tenant.applied.settings.keys().try_for_each(|name| check_setting(name, shared))
}

fn check_extension(name: &str, shared: &Shared) -> Result<(), Refusal> {
    let Some(extensions) = &shared.extensions else { return Ok(()) };
    match extensions.get(name) {
        Some(available) if available.trusted => Ok(()),
        Some(_) => Err(Refusal::new(
            RefusalKind::Policy,
            format!("extension `{name}` is not trusted: only a superuser can make it"),
        )
        .hint(format!("leave it out, and let a superuser run: CREATE EXTENSION {}", crate::sql::name(name)))),
        None => {
            let nearest = tenantdb_api::nearest(name, extensions.keys().map(String::as_str));
            let hint = nearest.map_or_else(
                || "install it on the server; Debian has most in postgresql-contrib".to_owned(),
                |nearest| format!("did you mean `{nearest}`? Otherwise install it on the server"),
            );
            Err(Refusal::new(RefusalKind::Policy, format!("the server has no extension `{name}`")).hint(hint))
        }
    }
}

fn check_setting(name: &str, shared: &Shared) -> Result<(), Refusal> {
    let Some(parameters) = &shared.parameters else { return Ok(()) };
    match parameters.get(name) {
        Some(Setter::Anyone) => Ok(()),
        Some(Setter::Superuser) => Err(Refusal::new(RefusalKind::Policy, format!("only a superuser can set `{name}`"))
            .hint(format!("leave it out, and let a superuser run: ALTER DATABASE … SET {name} = …"))),
        Some(Setter::Nobody) => {
            Err(Refusal::new(RefusalKind::Policy, format!("`{name}` holds for the whole server, not for a login"))
                .hint("leave it out, and set it in the server's configuration"))
        }
        None => {
            let otherwise = "leave it out; what a library brings along can only be set by a superuser";
            let hint = did_you_mean(name, parameters.keys().map(String::as_str), otherwise);
            Err(Refusal::new(RefusalKind::Policy, format!("the server has no setting `{name}`")).hint(hint))
        }
    }
}
