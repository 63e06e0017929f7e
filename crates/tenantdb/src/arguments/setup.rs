//! What the commands take that set up a folder, an editor or a shell.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// What `init` takes.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder; it is made if it is missing
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
}

/// What `schema` takes.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Of what
    #[arg(value_enum, default_value_t)]
    pub of: SchemaOf,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// What -f reads.
    #[default]
    Manifest,
    /// What `plan -o json` prints.
    Plan,
    /// What `apply` and `delete` print with -o json.
    Report,
    /// What `status -o json` prints.
    Status,
    /// What `orphans -o json` prints.
    Orphans,
    /// What `history -o json` prints.
    History,
}

/// What `completions` takes.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    pub shell: Shell,
}

/// What `man` takes.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// Where the pages of all commands are written to, instead of printing the first
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}
