//! How a password is made.

use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::SysRng;
use rand::{SeedableRng, rngs::StdRng};
use tenantdb_core::Password;

/// The length of a generated password: 40 alphanumeric characters hold 238 bits, and need no escaping in a URI, a
/// `.pgpass`, YAML or a shell.
const LENGTH: usize = 40;

/// A new password from the operating system's randomness, with letters and digits in it: a server that checks what it is
/// sent may ask for both (PostgreSQL documentation, passwordcheck), and one in 1,100 has no digit by chance.
///
/// # Panics
/// When the operating system has no randomness; a password that can be guessed would be worse.
#[must_use]
pub fn generate() -> Password {
    let mut rng = StdRng::try_from_rng(&mut SysRng).expect("the operating system provides randomness");
    loop {
        let password = Alphanumeric.sample_string(&mut rng, LENGTH);
        if is_mixed(&password) {
            return Password::new(password);
        }
    }
}

/// Whether a password looks like one of ours.
pub(crate) fn is_generated(password: &Password) -> bool {
    let password = password.expose();
    password.len() == LENGTH && password.bytes().all(|byte| byte.is_ascii_alphanumeric()) && is_mixed(password)
}

fn is_mixed(password: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| password.bytes().any(|byte| kind(&byte));
    has(u8::is_ascii_alphabetic) && has(u8::is_ascii_digit)
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
    fn it_has_letters_and_digits() {
        assert!((0..5_000).all(|_| is_mixed(generate().expose())), "one in 1,100 would not by chance");
        assert!(!is_mixed("abc") && !is_mixed("123") && is_mixed("a1"));
    }

    #[test]
    fn debug_hides_the_password() {
        let password = generate();
        assert!(!format!("{password:?}").contains(password.expose()));
    }
}
