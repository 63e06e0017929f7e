//! How a password is made.

use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::SysRng;
use rand::{SeedableRng, rngs::StdRng};
use tenantdb_core::Password;

/// The length of a generated password: 40 alphanumeric characters hold 238 bits, and need no escaping in a URI, a
/// `.pgpass`, YAML or a shell.
const LENGTH: usize = 40;

/// A new password from the operating system's randomness.
///
/// # Panics
/// When the operating system has no randomness; a password that can be guessed would be worse.
#[must_use]
pub fn generate() -> Password {
    let mut rng = StdRng::try_from_rng(&mut SysRng).expect("the operating system provides randomness");
    Password::new(Alphanumeric.sample_string(&mut rng, LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_forty_alphanumerics_and_never_the_same() {
        let (one, other) = (generate(), generate());
        assert_eq!(one.expose().len(), 40);
        assert!(one.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn debug_hides_the_password() {
        let password = generate();
        assert!(!format!("{password:?}").contains(password.expose()));
    }
}
