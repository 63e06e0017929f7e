//! The admin's password.

use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::SecretString;

use crate::error::{Error, Result};

const LENGTH: usize = 40;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// 40 letters and digits from the operating system.
pub(crate) fn generate() -> Result<SecretString> {
    let mut password = String::with_capacity(LENGTH);
    let mut bytes = [0_u8; 64];
    while password.len() < LENGTH {
        SysRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
        // Bytes from 248 on are left out: with them some characters would be likelier than others.
        let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        password.extend(fair.take(LENGTH - password.len()));
    }
    Ok(password.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn is_long_and_plain_and_never_the_same() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.expose_secret().len(), LENGTH);
        assert!(one.expose_secret().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
