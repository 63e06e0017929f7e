//! `tenantdb man`.

use std::fs;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::print;
use crate::arguments::{Arguments, ManArguments};
use crate::error::{Error, Exit};

/// Prints the manual page, or writes that of each command.
pub fn run(arguments: &ManArguments) -> Result<Exit, Error> {
    let command = Arguments::command();
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| Error::failed(error.to_string()))?;
        return print(&page);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| Error::failed(format!("can't write the pages into {}: {error}", folder.display())))?;
    Ok(Exit::Done)
}
