//! The operator, against a real API server and real PostgreSQL servers.

mod charts;
mod command_line;
mod guide;
mod hardship;
mod hostile;
mod isolation;
mod protection;
mod replicas;
mod resources;
mod secrets;
mod site;
mod sources;
mod tenants;
mod upgrade;
mod walkthrough;
