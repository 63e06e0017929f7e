//! `tenantdb connect` and `tenantdb exec`: another program with a credential in its environment.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use secrecy::ExposeSecret as _;
use tenantdb_api::database_server::SourceKind;
use tenantdb_core::{Failure, FailureKind};
use tenantdb_credentials::environment;
use tenantdb_local::Installation;

use super::Context;
use super::credentials::{self, Delivered};
use crate::arguments::{ConnectArguments, CredentialOf, ExecArguments};
use crate::error::{Error, Exit};
use crate::server;

/// Opens psql, which takes the place of this process.
pub async fn connect(context: &Context, arguments: &ConnectArguments) -> Result<Exit, Error> {
    let environment = prepare(context, &arguments.of).await?;
    let error = replace("psql".into(), &arguments.arguments, &environment);
    if error.kind() != io::ErrorKind::NotFound {
        return Err(Error::failed(format!("can't run psql: {error}")));
    }
    // Not every installation is on the PATH.
    let beside = Installation::find().map(|found| found.bin().join("psql"));
    if let Ok(psql) = beside.map(PathBuf::into_os_string) {
        replace(psql, &arguments.arguments, &environment);
    }
    let hint = "install it (Debian, Ubuntu: apt-get install postgresql-client; macOS: brew install libpq), or use \
                `tenantdb exec` with another client";
    Err(Failure::new(FailureKind::Rejected, "psql is not installed").hint(hint).into())
}

/// Runs a command, which takes the place of this process.
pub async fn run(context: &Context, arguments: &ExecArguments) -> Result<Exit, Error> {
    let [program, others @ ..] = arguments.command.as_slice() else {
        return Err(Error::input("there is no command", "name one behind `--`"));
    };
    let environment = prepare(context, &arguments.of).await?;
    let error = replace(program.clone(), others, &environment);
    let message = format!("can't run {}: {error}", program.display());
    Err(Error::input(message, "behind `--` stand a program and its arguments; a line for a shell is: sh -c '…'"))
}

/// The environment that a credential makes; its server, if it is a local one, is started.
async fn prepare(context: &Context, of: &CredentialOf) -> Result<Vec<(String, secrecy::SecretString)>, Error> {
    let Delivered { server, document, .. } = credentials::delivered(context, of).await?;
    let known = context.home.servers()?.into_iter().find(|known| Some(&known.metadata.name) == server.as_ref());
    if let Some(local) = known.filter(|known| known.source() == SourceKind::Local) {
        server::start(&local.metadata.name, &context.home)?;
    }
    Ok(environment::of_process(&document))
}

/// Becomes another program; what is returned is why that failed.
fn replace(program: OsString, arguments: &[OsString], environment: &[(String, secrecy::SecretString)]) -> io::Error {
    let mut command = Command::new(program);
    command.args(arguments);
    for variable in environment::MISLEADING {
        command.env_remove(variable);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value.expose_secret())));
    command.exec()
}
