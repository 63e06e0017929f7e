//! The operator, against a real API server and real PostgreSQL servers.

mod guide;
mod hardship;
mod isolation;
mod resources;
mod site;
mod tenants;
