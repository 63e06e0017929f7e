//! The scripts that a declaration names, as the files have them.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tenantdb_api::{Declared, Diagnostic, Diagnostics, Position, Source, Tenant, TenantDatabase};
use tenantdb_core::Script;
use tenantdb_postgres::Postgres;

/// Reads the scripts of a database, whose paths are relative to a folder; what is wrong is added to the problems.
pub fn read(
    tenant: &Declared<Tenant>,
    database: &TenantDatabase,
    folder: &Path,
    problems: &mut Diagnostics,
) -> Vec<Script> {
    let mut scripts: Vec<Script> = Vec::new();
    for (index, file) in database.spec.init.iter().enumerate() {
        let Some(file) = &file.file else { continue };
        let path = format!("spec.init[{index}].file");
        match script(tenant, &path, file, folder) {
            Ok(script) => match scripts.iter().find(|other| other.digest() == script.digest()) {
                Some(other) => {
                    let message = format!("the script `{}` is the same as `{}`", file.display(), other.name());
                    problems.push(tenant.error(&path, message).hint("a script runs once: leave one of them out"));
                }
                None => scripts.push(script),
            },
            Err(found) => problems.extend(found),
        }
    }
    scripts
}

fn script(tenant: &Declared<Tenant>, path: &str, file: &Path, folder: &Path) -> Result<Script, Vec<Diagnostic>> {
    let found = folder.join(file);
    let text = fs::read_to_string(&found).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "it is looked for beside the declaration",
            io::ErrorKind::InvalidData => "scripts are UTF-8 text",
            _ => "see whether you may read it",
        };
        vec![tenant.error(path, format!("can't read {}: {error}", found.display())).hint(hint)]
    })?;
    let name = file.display().to_string();
    Script::checked::<Postgres>(name.clone(), text.clone()).map_err(|faults| {
        let source = Arc::new(Source { name, text });
        let told = faults.into_iter().map(|fault| {
            let position = Position::new(Arc::clone(&source), fault.span);
            Diagnostic::error(fault.message).hint(fault.hint).at(position)
        });
        told.collect()
    })
}
