//! `tenantdb schema`.

use schemars::{JsonSchema, schema_for};

use super::print;
use crate::arguments::{SchemaArguments, SchemaOf};
use crate::error::{Error, Exit};
use crate::output::json::{self, Document, History, Orphans, Plans, Reports, Statuses};

/// Prints a JSON Schema.
pub fn run(arguments: &SchemaArguments) -> Result<Exit, Error> {
    let text = match arguments.of {
        SchemaOf::Manifest => json::text(&tenantdb_api::schema()),
        SchemaOf::Plan => of::<Plans>(),
        SchemaOf::Report => of::<Reports>(),
        SchemaOf::Status => of::<Statuses>(),
        SchemaOf::Orphans => of::<Orphans>(),
        SchemaOf::History => of::<History>(),
    };
    print((text? + "\n").as_bytes())
}

fn of<T: JsonSchema>() -> Result<String, Error> {
    json::text(&schema_for!(Document<T>))
}
