//! One test, many servers.

use std::fmt::Debug;

use crate::{Admin, TestServer, available};

/// What a test body may return: nothing, or a `Result` whose error fails the test.
pub trait Outcome {
    /// Panics if this is a failure.
    fn check(self);
}

impl Outcome for () {
    fn check(self) {}
}

impl<E: Debug> Outcome for Result<(), E> {
    fn check(self) {
        if let Err(error) = self {
            panic!("the test failed: {error:?}");
        }
    }
}

/// Runs a synchronous test body on one server; used by the macros.
pub fn run_sync<T: Outcome>(major: u32, admin: Admin, body: impl FnOnce(TestServer) -> T) {
    if available(major) {
        body(TestServer::start(major, admin)).check();
    }
}

/// Runs an asynchronous test body on one server and a multi-threaded runtime; used by the macros.
pub fn run_async<F: Future<Output: Outcome>>(major: u32, admin: Admin, body: impl FnOnce(TestServer) -> F) {
    if available(major) {
        let server = TestServer::start(major, admin);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        runtime.block_on(body(server)).check();
    }
}

/// The major versions that everything is tested on; the others that are supported get smoke tests.
pub const MAJORS: [u32; 3] = [15, 16, 18];

/// Those of [`MAJORS`] that are here.
#[must_use]
pub fn majors() -> Vec<u32> {
    MAJORS.into_iter().filter(|major| available(*major)).collect()
}

/// Defines tests that run on PostgreSQL 15, 16 and 18, each with a superuser and with a plain admin.
///
/// Each function takes the [`TestServer`](crate::TestServer) and becomes six tests, named after it:
/// `mytest::pg15_superuser`, `mytest::pg15_plain`, and so on. It may be `async`, and may return a
/// `Result<(), impl Debug>`. Three of the six, which meet every version and either kind of admin, run each time; the
/// others are ignored until they are asked for (`--include-ignored`).
///
/// ```
/// use tenantdb_testkit::{TestServer, on_every_server};
///
/// on_every_server! {
///     /// A new server has no other databases.
///     async fn starts_empty(server: TestServer) {
///         assert_eq!(server.psql("postgres", "SELECT count(*) FROM pg_database"), "3");
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_every_server {
    ($($tests:tt)+) => {
        $crate::on_servers! { [15 Plain, 16 Superuser, 18 Plain; 15 Superuser, 16 Plain, 18 Superuser] $($tests)+ }
    };
}

/// Like [`on_every_server!`], on the major versions that are named first: `[14, 16, 17]`, or, for one kind of admin
/// only, `[15 Plain, 18 Superuser]`; those after a semicolon are ignored until they are asked for.
///
/// ```
/// use tenantdb_testkit::{TestServer, on_servers};
///
/// on_servers! {
///     [14 Plain, 18]
///     fn knows_its_version(server: TestServer) {
///         let version = server.psql("postgres", "SHOW server_version_num");
///         assert_eq!(version, format!("{}", version.parse::<u32>().unwrap()));
///         assert!(version.starts_with(&server.major().to_string()));
///     }
/// }
/// ```
#[macro_export]
macro_rules! on_servers {
    ($servers:tt) => {};

    ($servers:tt $(#[$meta:meta])* async fn $name:ident($server:ident: $ty:ty) $(-> $out:ty)? $body:block $($rest:tt)*) => {
        $(#[$meta])*
        #[allow(dead_code, clippy::unused_async, clippy::needless_pass_by_value)]
        async fn $name($server: $ty) $(-> $out)? $body
        $crate::__server_tests! { $name run_async $servers }
        $crate::on_servers! { $servers $($rest)* }
    };

    ($servers:tt $(#[$meta:meta])* fn $name:ident($server:ident: $ty:ty) $(-> $out:ty)? $body:block $($rest:tt)*) => {
        $(#[$meta])*
        #[allow(dead_code, clippy::needless_pass_by_value)]
        fn $name($server: $ty) $(-> $out)? $body
        $crate::__server_tests! { $name run_sync $servers }
        $crate::on_servers! { $servers $($rest)* }
    };
}

/// The module of a test with its cells of the matrix.
#[doc(hidden)]
#[macro_export]
macro_rules! __server_tests {
    ($name:ident $run:ident [$($major:tt $($admin:ident)?),+ $(; $($later:tt $later_admin:ident),+)?]) => {
        mod $name {
            $($crate::__server_test! { [] $name $run $major $($admin)? })+
            $($($crate::__server_test! { [ignore = "of the full matrix"] $name $run $later $later_admin })+)?
        }
    };
}

/// One cell of the matrix. (A macro can't put a name together, hence the list.)
#[doc(hidden)]
#[macro_export]
macro_rules! __server_test {
    ($meta:tt $name:ident $run:ident 14 Superuser) => {
        $crate::__server_test! { @ $meta $name $run 14 Superuser pg14_superuser }
    };
    ($meta:tt $name:ident $run:ident 14 Plain) => {
        $crate::__server_test! { @ $meta $name $run 14 Plain pg14_plain }
    };
    ($meta:tt $name:ident $run:ident 15 Superuser) => {
        $crate::__server_test! { @ $meta $name $run 15 Superuser pg15_superuser }
    };
    ($meta:tt $name:ident $run:ident 15 Plain) => {
        $crate::__server_test! { @ $meta $name $run 15 Plain pg15_plain }
    };
    ($meta:tt $name:ident $run:ident 16 Superuser) => {
        $crate::__server_test! { @ $meta $name $run 16 Superuser pg16_superuser }
    };
    ($meta:tt $name:ident $run:ident 16 Plain) => {
        $crate::__server_test! { @ $meta $name $run 16 Plain pg16_plain }
    };
    ($meta:tt $name:ident $run:ident 17 Superuser) => {
        $crate::__server_test! { @ $meta $name $run 17 Superuser pg17_superuser }
    };
    ($meta:tt $name:ident $run:ident 17 Plain) => {
        $crate::__server_test! { @ $meta $name $run 17 Plain pg17_plain }
    };
    ($meta:tt $name:ident $run:ident 18 Superuser) => {
        $crate::__server_test! { @ $meta $name $run 18 Superuser pg18_superuser }
    };
    ($meta:tt $name:ident $run:ident 18 Plain) => {
        $crate::__server_test! { @ $meta $name $run 18 Plain pg18_plain }
    };
    ($meta:tt $name:ident $run:ident $major:tt) => {
        $crate::__server_test! { $meta $name $run $major Superuser }
        $crate::__server_test! { $meta $name $run $major Plain }
    };
    (@ [$($meta:meta)?] $name:ident $run:ident $major:literal $admin:ident $test:ident) => {
        #[test]
        $(#[$meta])?
        fn $test() {
            $crate::$run($major, $crate::Admin::$admin, super::$name);
        }
    };
}
