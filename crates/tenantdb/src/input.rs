//! Declarations from files, folders and standard input, and the project they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tenantdb_api::{
    DatabaseServer, Declared, Diagnostic, Diagnostics, Manifests, Namespace, ObjectName, Source, Tenant, did_you_mean,
};
use tenantdb_core::{Authority, Claim, Recorded, Script};

use crate::error::Error;
use crate::home::Home;
use crate::scripts;

/// The file that says which project declarations belong to.
pub const PROJECT_FILE: &str = "tenantdb.yaml";

/// A server with the tenants that are declared for it.
pub struct ServerInput {
    /// The server.
    pub server: Declared<DatabaseServer>,
    /// Whether it is declared in what was given, not only known from before.
    pub is_declared: bool,
    /// What it is to hold.
    pub tenants: Vec<Declared<Tenant>>,
    /// The names that its ledger recorded, as far as it was asked.
    pub recorded: Recorded,
    /// The scripts that its databases begin with.
    pub scripts: BTreeMap<(Namespace, ObjectName), Vec<Script>>,
}

impl ServerInput {
    /// A server that was used before.
    pub fn known(server: DatabaseServer) -> Self {
        Self { is_declared: false, ..Self::declared(Declared::synthetic(server)) }
    }

    /// A server that is declared, with nothing on it yet.
    pub fn declared(server: Declared<DatabaseServer>) -> Self {
        Self { server, is_declared: true, tenants: Vec::new(), recorded: Recorded::default(), scripts: BTreeMap::new() }
    }

    /// What is declared for it, by claim.
    pub fn claims(&self, authority: &Authority) -> impl Iterator<Item = Claim> {
        self.tenants.iter().map(|tenant| Claim::new(authority, &tenant.resource))
    }

    /// How many databases are declared for it.
    pub fn databases(&self) -> usize {
        self.tenants.iter().filter(|tenant| matches!(tenant.resource, Tenant::Database(_))).count()
    }

    /// Whether nothing is declared for it.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

/// Declarations, by the server they are for.
pub struct Input {
    /// Who speaks for them.
    pub authority: Authority,
    /// Each server that is declared or has tenants that are, in the order of their names.
    pub servers: Vec<ServerInput>,
    /// The servers that are known and of which nothing is declared.
    pub others: Vec<ServerInput>,
}

impl Input {
    /// What is declared, on whatever server.
    pub fn claims(&self) -> BTreeSet<Claim> {
        self.servers.iter().flat_map(|server| server.claims(&self.authority)).collect()
    }

    /// The servers to work on: those that something is declared for, and for pruning all that are known.
    ///
    /// # Errors
    /// When everything would be pruned.
    pub fn targets(&self, prune: bool) -> Result<Vec<&ServerInput>, Error> {
        if !prune {
            return Ok(self.servers.iter().collect());
        }
        if self.servers.iter().all(ServerInput::is_empty) {
            let message = "nothing is declared in what was given, so --prune would remove them all";
            return Err(Error::input(
                message,
                "give it all declarations of the project; `tenantdb delete` removes by name",
            ));
        }
        Ok(self.servers.iter().chain(&self.others).collect())
    }
}

/// Declarations as they were read, and what is wrong with them so far: it is told together with what is found later.
pub struct Draft {
    /// Each server that is declared or has tenants that are.
    pub servers: Vec<ServerInput>,
    others: Vec<ServerInput>,
    /// Who speaks for them; `None` is a home that is not made for input that is wrong.
    pub authority: Option<Authority>,
    problems: Diagnostics,
}

impl Draft {
    /// Reads everything that was given; a server that is not in it may be one that was used before.
    ///
    /// # Errors
    /// When a path can't be read, or a server is wrong: what its tenants get is unknown then.
    pub fn read(paths: &[PathBuf], home: &Home) -> Result<Self, Error> {
        let mut sources = Sources::default();
        for path in paths {
            sources.add(path);
        }
        let (mut manifests, mut problems) = Manifests::read(&sources.read);
        if manifests.lacks_servers || !sources.unreadable.is_empty() {
            problems.extend(sources.unreadable);
            return Err(problems.into());
        }
        let nothing = manifests.servers.is_empty() && manifests.tenants.is_empty();
        if nothing && problems.is_empty() {
            return Err(Error::input("there is no declaration in what was given", "`-f` takes files, folders and `-`"));
        }
        for server in &mut manifests.servers {
            anchor_paths(server);
        }
        let servers = by_server(manifests, home, &mut problems)?;
        let (servers, others) = servers.into_iter().partition(|input| input.is_declared || !input.is_empty());
        let authority = match project_of(paths)? {
            None => home.known_id()?.map(|id| home_authority(&id)).transpose()?,
            project => project,
        };
        Ok(Self { servers, others, authority, problems })
    }

    /// The declarations, if nothing is wrong with them, and nothing else was found.
    ///
    /// # Errors
    /// Everything that is wrong, by file and position; or when the home can't be made.
    pub fn checked(self, found: Diagnostics, home: &Home) -> Result<Input, Error> {
        let Self { servers, others, authority, mut problems } = self;
        problems.extend(found);
        if !problems.is_empty() {
            problems.sort();
            return Err(problems.into());
        }
        let authority = authority.map_or_else(|| home_authority(&home.id()?), Ok)?;
        Ok(Input { authority, servers, others })
    }
}

/// Assigns each tenant to its server, of all that are known.
fn by_server(manifests: Manifests, home: &Home, problems: &mut Diagnostics) -> Result<Vec<ServerInput>, Error> {
    let declared = names_of_defaults(manifests.servers.iter().map(|server| &server.resource));
    let known = home.servers()?.into_iter().map(ServerInput::known);
    let mut servers: BTreeMap<String, ServerInput> = known
        .chain(manifests.servers.into_iter().map(ServerInput::declared))
        .map(|input| (input.server.resource.metadata.name.to_string(), input))
        .collect();
    // What is declared now wins over what is remembered.
    let defaults = if declared.is_empty() {
        names_of_defaults(servers.values().map(|input| &input.server.resource))
    } else {
        declared
    };
    for tenant in manifests.tenants {
        match server_of(&tenant, &defaults, &mut servers) {
            Ok(input) => {
                if let Tenant::Database(database) = &tenant.resource {
                    let scripts = scripts::read(&tenant, database, &folder(&tenant), problems);
                    input.scripts.insert((database.namespace(), database.metadata.name.clone()), scripts);
                }
                input.tenants.push(tenant);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(servers.into_values().collect())
}

fn names_of_defaults<'a>(servers: impl Iterator<Item = &'a DatabaseServer>) -> Vec<String> {
    servers.filter(|server| server.spec.default).map(|server| server.metadata.name.to_string()).collect()
}

/// The server that a declaration names, else the default.
fn server_of<'a>(
    declared: &Declared<Tenant>,
    defaults: &[String],
    servers: &'a mut BTreeMap<String, ServerInput>,
) -> Result<&'a mut ServerInput, Diagnostic> {
    let name = match (declared.resource.server(), defaults) {
        (Some(name), _) => name.to_string(),
        (None, [default]) => default.clone(),
        (None, []) => {
            return Err(declared
                .error("spec.server", "it names no server, and none is the default")
                .hint("name one in `server`, or set `default: true` on a DatabaseServer"));
        }
        (None, several) => {
            let message = format!("it names no server, and several are the default: {}", several.join(", "));
            return Err(declared.error("spec.server", message).hint("name one in `server`"));
        }
    };
    if !servers.contains_key(&name) {
        let known = servers.keys().map(String::as_str);
        let hint = did_you_mean(&name, known, "declare it as a DatabaseServer in one of the files");
        return Err(declared.error("spec.server", format!("there is no server `{name}`")).hint(hint));
    }
    servers.get_mut(&name).ok_or_else(|| declared.error("spec.server", format!("there is no server `{name}`")))
}

/// Paths in a declaration are relative to the file they stand in.
fn anchor_paths(server: &mut Declared<DatabaseServer>) {
    let Ok(folder) = std::path::absolute(folder(server)) else { return };
    let spec = &mut server.resource.spec;
    let passwords =
        spec.admin.iter_mut().flat_map(|admin| &mut admin.password_from).filter_map(|from| from.file.as_mut());
    let authority = spec.tls.iter_mut().filter_map(|tls| tls.ca_from.as_mut()).filter_map(|from| from.file.as_mut());
    for path in passwords.chain(authority) {
        *path = folder.join(&*path);
    }
}

/// The folder of the file that a declaration stands in.
fn folder<T>(declared: &Declared<T>) -> PathBuf {
    let file = Path::new(declared.file().unwrap_or_default());
    // `parent` of a bare file name is empty, and so is that of standard input: both stand for where we are.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    folder.to_owned()
}

/// What was read of paths, and what could not be.
#[derive(Default)]
struct Sources {
    read: Vec<Source>,
    unreadable: Diagnostics,
    /// The folders that the path in hand is in, as they are called without links.
    above: Vec<PathBuf>,
}

impl Sources {
    fn add(&mut self, path: &Path) {
        if let Err(error) = self.read(path) {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "`-f` takes files, folders and `-`",
                io::ErrorKind::InvalidData => "declarations are UTF-8 text",
                _ => "see whether you may read it",
            };
            self.unreadable.push(Diagnostic::error(format!("can't read {}: {error}", path.display())).hint(hint));
        }
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        if path == Path::new("-") {
            self.read.push(Source { name: "<stdin>".to_owned(), text: io::read_to_string(io::stdin())? });
        } else if path.is_dir() {
            let folder = fs::canonicalize(path)?;
            // A link to a folder that it is in leads nowhere new.
            if self.above.contains(&folder) {
                return Ok(());
            }
            let entries: io::Result<Vec<_>> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
            let mut entries = entries?;
            entries.sort();
            self.above.push(folder);
            for entry in entries.iter().filter(|entry| is_manifest(entry)) {
                self.add(entry);
            }
            self.above.pop();
        } else {
            self.read.push(Source { name: path.display().to_string(), text: fs::read_to_string(path)? });
        }
        Ok(())
    }
}

/// What is read of a folder: its folders, and its YAML and JSON files; neither hidden ones, nor the project's own and
/// schemas for editors.
fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let known =
        path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
    // A pipe would be waited for; a link that leads nowhere is told.
    let can_be_read = fs::metadata(path).map_or(true, |found| found.is_file());
    let ours = name == PROJECT_FILE || name.ends_with(".schema.json");
    !name.starts_with('.') && !ours && (path.is_dir() || (known && can_be_read))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    project: String,
}

/// Who speaks where nothing is declared: the project that we are in, else this home.
pub fn authority(home: &Home) -> Result<Authority, Error> {
    match project_of(&[])? {
        Some(project) => Ok(project),
        None => home_authority(&home.id()?),
    }
}

/// The authority of a home, which speaks where there is no project.
pub fn home_authority(id: &str) -> Result<Authority, Error> {
    checked(id, "this home")
}

/// The project whose `tenantdb.yaml` is nearest above the paths. A run speaks for one.
fn project_of(paths: &[PathBuf]) -> Result<Option<Authority>, Error> {
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
    Ok(found.map(|(authority, _)| authority))
}

/// The text of a new project's file.
pub fn new_project() -> String {
    let id = uuid::Uuid::new_v4().simple();
    format!(
        "# Whose the databases are that are declared in this folder and below it: another project's are never touched.\n\
         # It goes into version control, so that whoever applies the declarations speaks for the same project.\n\
         project: {id}\n"
    )
}

/// The project that a path belongs to, and the file that says so.
pub fn project(path: &Path) -> Result<Option<(Authority, PathBuf)>, Error> {
    // Without `..` and links, so that the folders above it are those it is really in.
    let start = path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    let file = start.ancestors().map(|folder| folder.join(PROJECT_FILE)).find(|file| file.is_file());
    let Some(file) = file else { return Ok(None) };
    let wrong =
        |message: String| Error::input(format!("{}: {message}", file.display()), "it holds one line: `project: <id>`");
    let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let project: Project = serde_saphyr::from_str(&text)
        .map_err(|error| wrong(first_line(error.to_string().trim_start_matches("error: ").to_owned())))?;
    let authority = checked(&project.project, &file.display().to_string())?;
    Ok(Some((authority, file)))
}

fn checked(id: &str, named_in: &str) -> Result<Authority, Error> {
    Authority::project(id)
        .map_err(|error| Error::input(format!("{named_in}: {error}"), "use letters, digits, `-`, `_`, `.` and `/`"))
}
