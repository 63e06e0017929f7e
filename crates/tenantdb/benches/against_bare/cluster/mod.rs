//! The operator: from a resource to its Secret, compared with the same statements and the same requests to the API
//! server by a plain client.

mod burst;
mod claim;
mod fleet;
mod plain;
mod site;
mod synthetic;
mod watch;

pub use burst::measure as burst;
pub use claim::measure as claim;
pub use fleet::measure as fleet;
pub use synthetic::measure as synthetic;
