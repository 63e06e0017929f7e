//! The program, as a whole process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tenantdb_testkit::{ADMIN_PASSWORD_VARIABLE, TestServer, server_manifest, tenant_manifest};

use crate::bare;

/// The file with the declarations.
pub const DECLARATIONS: &str = "declarations.yaml";

/// Makes what is declared.
pub const APPLY: [&str; 4] = ["apply", "--yes", "-f", DECLARATIONS];

/// How long a run took, and its peak memory in KiB.
pub type Run = (Duration, u64);

/// A folder with the declarations of so many tenants, whose specs say this besides.
pub fn declarations(server: &TestServer, tenants: usize, further: &str) -> TempDir {
    let spec = format!("{{connectionLimit: {}{further}}}", bare::CONNECTION_LIMIT);
    let tenants: String = (0..tenants).map(|number| tenant_manifest(&bare::name(number), &spec)).collect();
    let folder = tempfile::Builder::new().prefix("tenantdb-bench-").tempdir().expect("a folder");
    std::fs::write(folder.path().join(DECLARATIONS), server_manifest(server) + &tenants).expect("a file");
    folder
}

/// Runs it to its end.
pub fn run(folder: &Path, server: &TestServer, arguments: &[&str]) -> Run {
    let mut program = program(folder, server, arguments);
    let began = Instant::now();
    let mut child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    loop {
        peak = peak.max(peak_memory(Path::new(&status)));
        if let Some(end) = child.try_wait().expect("a child that was not waited for") {
            let took = began.elapsed();
            assert!(end.success(), "{arguments:?} ended with {end}");
            return (took, peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What runs it.
pub fn program(folder: &Path, server: &TestServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantdb"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.env("TENANTDB_HOME", folder.join("home")).env(ADMIN_PASSWORD_VARIABLE, server.admin_password());
    command.env("NO_COLOR", "1");
    command
}

/// What Linux says of a process's peak; 0 elsewhere.
fn peak_memory(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.and_then(|peak| peak.trim().parse().ok()).unwrap_or_default()
}
