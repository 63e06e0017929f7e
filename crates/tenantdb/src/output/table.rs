//! Tables.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::{printable, say};

/// Prints aligned columns to standard output, as wide as they need to be.
pub fn print(header: &[&str], rows: &[Vec<String>]) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(printable));
    }
    for line in table.lines() {
        say!("{}", line.trim());
    }
}
