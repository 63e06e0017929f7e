//! The engines that this program knows: the one file that names them all.

use tenantdb_api::database_server::EngineKind;
use tenantdb_api::{DatabaseServer, Diagnostics};
use tenantdb_core::Authority;
use tenantdb_core::reach::Way;
use tenantdb_postgres::Postgres;

use crate::commands::Context;
use crate::error::Error;
use crate::input::ServerInput;
use crate::resolve;
use crate::server::{Connected, open};

/// A server that can be asked, whatever its engine.
pub enum Reached {
    /// One of PostgreSQL.
    PostgreSQL(Connected<Postgres>),
}

/// Does the same with a server of whichever engine.
macro_rules! for_engine {
    ($server:expr, $connected:ident => $work:expr) => {
        match $server {
            $crate::engines::Reached::PostgreSQL($connected) => $work,
        }
    };
}
pub(crate) use for_engine;

/// Looks at a server of which nothing is asked, and answers from what was seen; `None` is a local one that was never
/// started.
macro_rules! ask {
    ($context:expr, $server:expr, $seen:ident => $answer:expr) => {
        match $crate::server::look($context, $server).await {
            Ok(Some(reached)) => {
                $crate::engines::for_engine!(reached, connected => {
                    connected.ask($context, $server, async |$seen| $answer).await.map(Some)
                })
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    };
}
pub(crate) use ask;

impl Reached {
    /// A server at the end of a way.
    pub fn at(context: &Context, server: &DatabaseServer, way: Way) -> Result<Self, Error> {
        match server.spec.engine {
            EngineKind::PostgreSQL => open(context, server, way).map(Self::PostgreSQL),
            engine @ (EngineKind::Redis | EngineKind::RabbitMQ) => {
                Err(Error::input(format!("{engine:?} is not supported yet"), "only PostgreSQL is"))
            }
        }
    }
}

/// What is wrong with what is declared for a server.
pub fn problems(input: &ServerInput, authority: &Authority) -> Diagnostics {
    match input.server.resource.spec.engine {
        EngineKind::PostgreSQL => resolve::problems_of::<Postgres>(input, authority),
        // Such a server is refused itself.
        EngineKind::Redis | EngineKind::RabbitMQ => Diagnostics::default(),
    }
}
