//! What a credential is, without where it lives.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenantdb_api::SqlName;

/// A password. It has no `Display`, and its `Debug` hides it.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    /// Takes a password into custody.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The password itself, for the few places that must send or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A user name and its password, which only ever travel together.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user name.
    pub username: SqlName,
    /// The password; without one, the server asks for something else.
    pub password: Option<Password>,
}

impl Login {
    /// Tells this login from any other without holding it: SHA-256 over user name and password, in hexadecimal. The
    /// password has 238 bits of entropy, so the digest can't be searched.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(self.username.as_str().as_bytes());
        hasher.update([0]);
        hasher.update(self.password.as_ref().map_or("", Password::expose).as_bytes());
        Digest(hexadecimal(&hasher.finalize()))
    }
}

/// Bytes as lower-case hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 15)]);
        text
    })
}

/// The digest of a [`Login`], or of a text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// SHA-256 over a text, in hexadecimal.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(hexadecimal(&Sha256::digest(text)))
    }

    /// A digest read back from where it was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The digest in hexadecimal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many credentials a tenant has been given; each new one counts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a tenant's applications log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginScheme {
    /// Two logins take turns in holding the password.
    #[default]
    Alternate,
    /// The tenant's role itself logs in; a new password takes the place of the old one.
    InPlace,
    /// The tenant's role itself logs in, without a password.
    Passwordless,
}

impl LoginScheme {
    /// The slots that a tenant may have, in the order in which they are used.
    #[must_use]
    pub fn slots(self) -> &'static [Slot] {
        match self {
            Self::Alternate => &[Slot::A, Slot::B, Slot::C],
            Self::InPlace | Self::Passwordless => &[Slot::Owner],
        }
    }

    /// Those that it has from the beginning.
    #[must_use]
    pub fn standing(self) -> &'static [Slot] {
        match self {
            Self::Alternate => &[Slot::A, Slot::B],
            Self::InPlace | Self::Passwordless => &[Slot::Owner],
        }
    }

    /// Whether a password is what lets them in.
    #[must_use]
    pub fn has_password(self) -> bool {
        self != Self::Passwordless
    }
}

/// A login that can hold a tenant's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The tenant's role itself, where no logins take turns.
    Owner,
    /// The first of those that take turns.
    A,
    /// The second.
    B,
    /// The third, which is only made when a credential was lost and neither of the others is free.
    C,
}

impl Slot {
    /// The letter in the login's name, if that is another than its tenant's.
    #[must_use]
    pub fn letter(self) -> Option<&'static str> {
        match self {
            Self::Owner => None,
            Self::A => Some("a"),
            Self::B => Some("b"),
            Self::C => Some("c"),
        }
    }

    /// The slot of a letter.
    #[must_use]
    pub fn from_letter(letter: &str) -> Option<Self> {
        [Self::A, Self::B, Self::C].into_iter().find(|slot| slot.letter() == Some(letter))
    }
}
