//! The one binary: command line, output, exit codes and wiring.

mod arguments;
mod commands;
mod engines;
mod error;
mod home;
mod input;
mod output;
mod resolve;
mod scripts;
mod server;

use std::process::ExitCode;

use clap::Parser;
use tenantdb_core::Interrupt;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command, LogFormat};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_call(&error),
    };
    log(&arguments.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::Error::failed(format!("can't start: {error}")).report().into(),
    };
    let interrupt = Interrupt::default();
    let is_logged = matches!(arguments.command, Command::Operator(_));
    runtime.spawn(stop_on_signal(interrupt.clone(), is_logged));
    let exit = runtime.block_on(commands::run(arguments, interrupt)).unwrap_or_else(error::Error::report);
    let printed = if output::is_whole() { error::Exit::Done } else { error::Exit::Failed };
    exit.worst(printed).into()
}

/// What runs for years tells what it does; what somebody waits for tells what came of it.
fn log(command: &Command) {
    let (usual, format) = match command {
        // What the library says of a watch, the operator says in its own words.
        Command::Operator(operator) => ("info,kube_runtime=off", operator.log_format),
        _ => ("off", LogFormat::Text),
    };
    let filter = EnvFilter::try_from_env("TENANTDB_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Tells what is wrong with the call, or the help that was asked for. What was typed can't steer the terminal.
fn wrong_call(error: &clap::Error) -> ExitCode {
    let steers = |argument: std::ffi::OsString| argument.to_string_lossy().contains(char::is_control);
    if std::env::args_os().any(steers) {
        let text = error.render().to_string();
        text.lines().for_each(|line| output::tell!("{}", output::printable(line)));
    } else {
        // Whoever doesn't listen any more has read enough.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The first Ctrl-C or SIGTERM stops the work between two statements, the second at once.
async fn stop_on_signal(interrupt: Interrupt, is_logged: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupted), Ok(mut terminated)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        if interrupt.is_set() {
            std::process::exit(130);
        }
        interrupt.set();
        if is_logged {
            tracing::info!("stopping after the statements in hand; once more stops at once");
        } else {
            output::tell!("stopping after the statements in hand; once more stops at once");
        }
    }
}
