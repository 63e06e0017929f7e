//! `tenantdb init`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::arguments::InitArguments;
use crate::error::{Error, Exit};
use crate::input;
use crate::output::{printable, say, style};

/// The example's file.
const EXAMPLE: &str = "databases.yaml";

/// Writes the project's file and an example, and overwrites nothing.
pub fn run(arguments: &InitArguments) -> Result<Exit, Error> {
    let folder = arguments.folder.as_path();
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let above = input::project(folder)?;
    let project = match &above {
        Some(_) => None,
        None => write(&folder.join(input::PROJECT_FILE), &input::new_project())?,
    };
    let example = write(&folder.join(EXAMPLE), include_str!("init/databases.yaml"))?;
    if let Some((authority, file)) = above {
        style::note(&format!("{} says already which project this is: {authority}", file.display()));
    }
    if example.is_none() {
        style::note(&format!("{} is there already, and stays as it is", folder.join(EXAMPLE).display()));
    }
    for path in project.iter().chain(&example) {
        say!("wrote {}", printable(path));
    }
    if let Some(path) = example {
        say!("Next: tenantdb plan -f {}", printable(&path));
    }
    Ok(Exit::Done)
}

/// Writes a new file; `None` when there is one of that name.
fn write(path: &Path, text: &str) -> Result<Option<String>, Error> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        opened => opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, &error))?,
    }
    let shown = path.strip_prefix(".").unwrap_or(path);
    Ok(Some(shown.display().to_string()))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::input(format!("can't write {}: {error}", path.display()), "name a folder that you may write to")
}
