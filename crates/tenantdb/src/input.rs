//! Declarations from files, folders and standard input, and the project they belong to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tenantdb_api::{
    DatabaseServer, Declared, Diagnostic, Diagnostics, Manifests, Source, TenantDatabase, nearest, parse,
};
use tenantdb_core::Authority;
use tenantdb_postgres::Recorded;

use crate::error::Error;
use crate::home::Home;

/// The file that says which project declarations belong to.
const PROJECT_FILE: &str = "tenantdb.yaml";

/// A server with the tenants that are declared for it.
pub struct ServerInput {
    /// The server.
    pub server: Declared<DatabaseServer>,
    /// Its tenants.
    pub tenants: Vec<Declared<TenantDatabase>>,
    /// The names that its ledger recorded, as far as it was asked.
    pub recorded: Recorded,
}

impl ServerInput {
    /// A server of which nothing is declared.
    pub fn without_tenants(server: Declared<DatabaseServer>) -> Self {
        Self { server, tenants: Vec::new(), recorded: Recorded::default() }
    }
}

/// Declarations, by the server they are for.
pub struct Input {
    /// Who speaks for them.
    pub authority: Authority,
    /// Each server with its tenants, in the order of their names.
    pub servers: Vec<ServerInput>,
    /// The servers that are known and of which nothing is declared.
    pub others: Vec<ServerInput>,
}

impl Input {
    /// Reads and checks everything that was given; a server that is not in it may be one that was used before.
    ///
    /// # Errors
    /// When a path can't be read, or anything in any of them is wrong.
    pub fn read(paths: &[PathBuf], home: &Home) -> Result<Self, Error> {
        let mut sources = Vec::new();
        for path in paths {
            collect(path, &mut Vec::new(), &mut sources)?;
        }
        let mut manifests = parse(&sources)?;
        if manifests.servers.is_empty() && manifests.tenants.is_empty() {
            return Err(Error::input("there is no declaration in what was given", "`-f` takes files, folders and `-`"));
        }
        for server in &mut manifests.servers {
            anchor_paths(server);
        }
        let (others, servers) = by_server(manifests, home)?.into_iter().partition(|input| input.tenants.is_empty());
        Ok(Self { authority: authority(paths, home)?, servers, others })
    }
}

/// Assigns each tenant to its server, of all that are known; all that can't be are told at once.
fn by_server(manifests: Manifests, home: &Home) -> Result<Vec<ServerInput>, Error> {
    let declared = names_of_defaults(manifests.servers.iter().map(|server| &server.resource));
    let known = home.servers()?.into_iter().map(Declared::synthetic);
    let mut servers: BTreeMap<String, ServerInput> = known
        .chain(manifests.servers)
        .map(|server| (server.resource.metadata.name.to_string(), ServerInput::without_tenants(server)))
        .collect();
    // What is declared now wins over what is remembered.
    let defaults = if declared.is_empty() {
        names_of_defaults(servers.values().map(|input| &input.server.resource))
    } else {
        declared
    };
    let mut problems = Diagnostics::default();
    for tenant in manifests.tenants {
        let name = match server_name(&tenant, &defaults) {
            Ok(name) => name,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        if let Some(input) = servers.get_mut(&name) {
            input.tenants.push(tenant);
            continue;
        }
        let hint = nearest(&name, servers.keys().map(String::as_str)).map_or_else(
            || "declare it as a DatabaseServer in one of the files".to_owned(),
            |nearest| format!("did you mean `{nearest}`?"),
        );
        problems.push(tenant.error("spec.server", format!("there is no server `{name}`")).hint(hint));
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    Ok(servers.into_values().collect())
}

fn names_of_defaults<'a>(servers: impl Iterator<Item = &'a DatabaseServer>) -> Vec<String> {
    servers.filter(|server| server.spec.default).map(|server| server.metadata.name.to_string()).collect()
}

/// The server that a tenant names, else the default.
fn server_name(tenant: &Declared<TenantDatabase>, defaults: &[String]) -> Result<String, Diagnostic> {
    match (&tenant.resource.spec.server, defaults) {
        (Some(name), _) => Ok(name.to_string()),
        (None, [default]) => Ok(default.clone()),
        (None, []) => Err(tenant
            .error("spec.server", "it names no server, and none is the default")
            .hint("name one in `server`, or set `default: true` on a DatabaseServer")),
        (None, several) => {
            let message = format!("it names no server, and several are the default: {}", several.join(", "));
            Err(tenant.error("spec.server", message).hint("name one in `server`"))
        }
    }
}

/// Paths in a declaration are relative to the file they stand in.
fn anchor_paths(server: &mut Declared<DatabaseServer>) {
    let location = server.location();
    let file = Path::new(location.rsplit_once(':').map_or("", |(file, _)| file));
    // `parent` of a bare file name is empty, and so is that of standard input: both stand for where we are.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let Ok(folder) = std::path::absolute(folder) else { return };
    let spec = &mut server.resource.spec;
    let passwords =
        spec.admin.iter_mut().flat_map(|admin| &mut admin.password_from).filter_map(|from| from.file.as_mut());
    let authority = spec.tls.iter_mut().filter_map(|tls| tls.ca_from.as_mut()).map(|from| &mut from.file);
    for path in passwords.chain(authority) {
        *path = folder.join(&*path);
    }
}

/// Reads a path; `above` are the folders it is in, as they are called without links.
fn collect(path: &Path, above: &mut Vec<PathBuf>, sources: &mut Vec<Source>) -> Result<(), Error> {
    let unreadable = |error: &io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "`-f` takes files, folders and `-`",
            io::ErrorKind::InvalidData => "declarations are UTF-8 text",
            _ => "see whether you may read it",
        };
        Error::input(format!("can't read {}: {error}", path.display()), hint)
    };
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|error| unreadable(&error))?;
        sources.push(Source { name: "<stdin>".to_owned(), text });
    } else if path.is_dir() {
        let folder = fs::canonicalize(path).map_err(|error| unreadable(&error))?;
        // A link to a folder that it is in leads nowhere new.
        if above.contains(&folder) {
            return Ok(());
        }
        above.push(folder);
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(|error| unreadable(&error))?;
        entries.sort();
        for entry in entries.iter().filter(|entry| is_manifest(entry)) {
            collect(entry, above, sources)?;
        }
        above.pop();
    } else {
        let text = fs::read_to_string(path).map_err(|error| unreadable(&error))?;
        sources.push(Source { name: path.display().to_string(), text });
    }
    Ok(())
}

/// What is read of a folder: its folders, and its YAML and JSON files; neither hidden ones nor the project's own.
fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let known =
        path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
    !name.starts_with('.') && name != PROJECT_FILE && (path.is_dir() || known)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    project: String,
}

/// Who speaks: the project whose `tenantdb.yaml` is nearest above the paths, else this home. A run speaks for one.
pub fn authority(paths: &[PathBuf], home: &Home) -> Result<Authority, Error> {
    let mut found: Option<(Authority, PathBuf)> = None;
    let here = [PathBuf::from(".")];
    let named: Vec<&PathBuf> = paths.iter().filter(|path| *path != Path::new("-")).collect();
    for path in if named.is_empty() { here.iter().collect() } else { named } {
        let Some((authority, file)) = project(path)? else { continue };
        match &found {
            Some((first, first_file)) if *first != authority => {
                return Err(Error::input(
                    format!(
                        "the paths belong to two projects: {first} ({}) and {authority} ({})",
                        first_file.display(),
                        file.display()
                    ),
                    "give each project a run of its own",
                ));
            }
            Some(_) => {}
            None => found = Some((authority, file)),
        }
    }
    match found {
        Some((authority, _)) => Ok(authority),
        None => checked(&home.id()?, "this home"),
    }
}

/// The project that a path belongs to, and the file that says so.
fn project(path: &Path) -> Result<Option<(Authority, PathBuf)>, Error> {
    // Without `..` and links, so that the folders above it are those it is really in.
    let start = path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    let file = start.ancestors().map(|folder| folder.join(PROJECT_FILE)).find(|file| file.is_file());
    let Some(file) = file else { return Ok(None) };
    let wrong =
        |message: String| Error::input(format!("{}: {message}", file.display()), "it holds one line: `project: <id>`");
    let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let project: Project = serde_saphyr::from_str(&text).map_err(|error| wrong(first_line(error.to_string())))?;
    let authority = checked(&project.project, &file.display().to_string())?;
    Ok(Some((authority, file)))
}

fn checked(id: &str, named_in: &str) -> Result<Authority, Error> {
    Authority::project(id)
        .map_err(|error| Error::input(format!("{named_in}: {error}"), "use letters, digits, `-`, `_`, `.` and `/`"))
}
