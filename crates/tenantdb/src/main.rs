//! The one binary: command line, output, exit codes and wiring.

mod arguments;
mod commands;
mod error;
mod home;
mod input;
mod output;
mod resolve;
mod server;

use std::process::ExitCode;

use clap::Parser;
use tenantdb_core::Interrupt;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("TENANTDB_LOG").unwrap_or_else(|_| EnvFilter::new("off")))
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return error::Error::failed(format!("can't start: {error}")).report().into(),
    };
    let interrupt = Interrupt::default();
    runtime.spawn(stop_on_signal(interrupt.clone()));
    match runtime.block_on(commands::run(arguments, interrupt)) {
        Ok(exit) => exit.into(),
        Err(error) => error.report().into(),
    }
}

/// The first Ctrl-C or SIGTERM stops the work between two statements, the second at once.
async fn stop_on_signal(interrupt: Interrupt) {
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
        anstream::eprintln!("stopping after the statements in hand; once more stops at once");
    }
}
