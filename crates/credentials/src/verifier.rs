//! What a PostgreSQL server is shown of a password.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use tenantdb_core::Password;

/// How often the key is derived, as PostgreSQL does it.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// A SCRAM-SHA-256 verifier (RFC 5803; PostgreSQL documentation, 20.5 and 53.8). PostgreSQL takes a malformed one for
/// a password in clear text, so one exists only if it is well formed.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(String);

/// A text that is not a verifier; it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier")]
pub struct InvalidVerifier;

impl Verifier {
    /// The verifier of a password, with a salt of its own and 4096 iterations.
    ///
    /// # Errors
    /// When the result is malformed, which would be a bug below us.
    pub fn of(password: &Password) -> Result<Self, InvalidVerifier> {
        Self::parse(salted(password.expose(), &rand::random::<[u8; 16]>()))
    }

    /// Checks `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    fn parse(text: String) -> Result<Self, InvalidVerifier> {
        let base64 = |part: &str, bytes: std::ops::RangeInclusive<usize>| {
            let digits = part.trim_end_matches('=');
            let legal = digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
            legal
                && part.len().is_multiple_of(4)
                && part.len() - digits.len() <= 2
                && bytes.contains(&(digits.len() * 6 / 8))
        };
        let well_formed = || {
            let (iterations_and_salt, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
            let (iterations, salt) = iterations_and_salt.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let enough = iterations.parse::<u32>().ok()? >= 4096;
            (enough && base64(salt, 16..=64) && base64(stored, 32..=32) && base64(server, 32..=32)).then_some(())
        };
        if well_formed().is_some() { Ok(Self(text)) } else { Err(InvalidVerifier) }
    }

    /// The text that `ALTER ROLE … PASSWORD` takes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a server keeps of a password (RFC 5802, 3; RFC 5803). The crate of PostgreSQL's protocol makes the same in twice
/// the time, because it prepares its key anew in each of the rounds.
fn salted(password: &str, salt: &[u8]) -> String {
    // libpq and the server take a password that SASLprep forbids as it is (PostgreSQL documentation, 55.3.1).
    let prepared = stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password));
    let mut key = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, prepared.as_bytes(), &mut key);
    let sign = |what: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), what);
    let stored = digest::digest(&digest::SHA256, sign(b"Client Key").as_ref());
    let [salt, stored, server] =
        [salt, stored.as_ref(), sign(b"Server Key").as_ref()].map(|bytes| BASE64.encode(bytes));
    format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_verifier_is_what_the_crate_of_the_protocol_makes(password in any::<String>()) {
            let theirs = postgres_protocol::password::scram_sha_256(password.as_bytes());
            let salt = theirs.split(['$', ':']).nth(2).and_then(|salt| BASE64.decode(salt).ok()).unwrap();
            prop_assert_eq!(salted(&password, &salt), theirs);
        }
    }

    #[test]
    fn a_verifier_of_a_password_is_well_formed_and_salted() {
        let password = crate::generate();
        let (one, other) = (Verifier::of(&password).unwrap(), Verifier::of(&password).unwrap());
        assert_ne!(one.as_str(), other.as_str());
    }

    #[test]
    fn what_postgresql_would_take_for_clear_text_is_refused() {
        let good = Verifier::of(&crate::generate()).unwrap().0;
        let cut = good[..good.len() - 1].to_owned();
        for bad in [
            "SCRAM-SHA-256$bad".to_owned(),
            "hunter2".to_owned(),
            cut,
            good.replace("4096", "1"),
            good.replace('$', ":"),
        ] {
            assert_eq!(Verifier::parse(bad), Err(InvalidVerifier));
        }
    }
}
