//! Shorter names in the place of names that don't fit.

use sha2::{Digest, Sha256};

/// A name of at most `room` bytes (at least 16) that begins like `name` and is told from others by a digest.
#[must_use]
pub fn shorten(name: &str, room: usize) -> String {
    if name.len() <= room {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let digest = format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
    let cut = name.floor_char_boundary(room - digest.len() - 1);
    format!("{}-{digest}", name[..cut].trim_end_matches(['-', '_']))
}

#[cfg(test)]
#[path = "shorten_tests.rs"]
mod tests;
