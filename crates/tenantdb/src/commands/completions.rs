//! `tenantdb completions`.

use clap::CommandFactory as _;

use super::print;
use crate::arguments::{Arguments, CompletionsArguments};
use crate::error::{Error, Exit};

/// Prints what a shell needs to complete our commands.
pub fn run(arguments: &CompletionsArguments) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "tenantdb", &mut script);
    print(&script)
}
