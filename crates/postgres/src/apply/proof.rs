//! What a server is sent of a password, and what it says when it does not take that.

use tenantdb_core::reach::Sends;
use tenantdb_core::{Failure, FailureKind, Password};
use tenantdb_credentials::Verifier;

use crate::connect::Connections;
use crate::sql;

/// What a statement holds after `PASSWORD`. It is never shown.
pub(crate) struct Proof<'a> {
    quoted: String,
    sent: Option<(Sends, &'a Password)>,
}

impl<'a> Proof<'a> {
    /// For statements that set none.
    pub(crate) fn none() -> Self {
        Self { quoted: String::new(), sent: None }
    }

    /// A verifier of a password; or the password itself, where the server takes no verifiers and has proved itself.
    pub(crate) fn of(password: &'a Password, connections: &Connections) -> Result<Self, Failure> {
        let sends = connections.admin().sends;
        let quoted = match sends {
            Sends::Password if connections.tls().verifies() => sql::text(password.expose()),
            Sends::Password => {
                let message = "a password itself is only sent to a server that has proved itself";
                return Err(Failure::new(FailureKind::Rejected, message).hint("set `tls: {mode: verify-full, …}`"));
            }
            Sends::Verifier => {
                let verifier = Verifier::of(password);
                let verifier = verifier.map_err(|error| Failure::new(FailureKind::Rejected, error.to_string()))?;
                sql::text(verifier.as_str())
            }
        };
        Ok(Self { quoted, sent: Some((sends, password)) })
    }

    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> &str {
        &self.quoted
    }

    /// A failure of statements that held it: without it, and with what to do where the server takes none of its kind.
    pub(crate) fn explain(&self, mut failure: Failure) -> Failure {
        let Some((sends, password)) = self.sent else { return failure };
        for secret in
            [self.quoted.trim_matches('\''), password.expose()].into_iter().filter(|secret| !secret.is_empty())
        {
            failure.message = failure.message.replace(secret, "…");
            failure.hint = failure.hint.map(|hint| hint.replace(secret, "…"));
        }
        if !failure.message.to_lowercase().contains("password") {
            return failure;
        }
        let hint = if failure.message.contains("rds_password") {
            "rds.restrict_password_commands is on: as the master user run: GRANT rds_password TO tenantdb_owner"
        } else if sends == Sends::Verifier {
            "if the server takes no SCRAM verifiers, set `admin.passwordPassthrough: true`, which needs verified TLS"
        } else {
            "the server's own rules refuse the password: 40 letters and digits; see which of its extensions checks it"
        };
        // Some say it with the code of a login that is refused: nobody logged in.
        Failure { kind: FailureKind::Rejected, ..failure }.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use tenantdb_api::database_server::TlsMode;
    use tenantdb_core::reach::{AdminLogin, Tls, Way};
    use tenantdb_core::{Address, Writer};

    use super::*;

    #[test]
    fn a_password_itself_is_for_a_server_that_has_proved_itself() {
        let password = Password::new("aPasswordOfSomebody".to_owned());
        for mode in [TlsMode::Disable, TlsMode::Require] {
            let address = Address { host: "localhost".to_owned(), port: 5432 };
            let admin = AdminLogin {
                username: "admin".to_owned(),
                password: password.clone(),
                maintenance_database: "postgres".to_owned(),
                sends: Sends::Password,
            };
            let connections =
                Connections::new(Way { address, tls: Tls::new(mode, None).unwrap(), admin }, 3, Writer::default());
            let refused = Proof::of(&password, &connections).err().unwrap();
            assert_eq!(refused.message, "a password itself is only sent to a server that has proved itself");
        }
    }

    #[test]
    fn a_failure_never_holds_what_was_sent() {
        let password = Password::new("aPasswordOfSomebody".to_owned());
        for sends in [Sends::Verifier, Sends::Password] {
            let quoted = match sends {
                Sends::Verifier => sql::text(Verifier::of(&password).unwrap().as_str()),
                Sends::Password => sql::text(password.expose()),
            };
            let proof = Proof { quoted: quoted.clone(), sent: Some((sends, &password)) };
            let said = format!("the password {quoted} of aPasswordOfSomebody is weak");
            let failure = Failure::new(FailureKind::LoginRefused, said.clone()).hint(said);
            let failure = proof.explain(failure);
            assert_eq!(
                (failure.kind, failure.message.as_str()),
                (FailureKind::Rejected, "the password '…' of … is weak")
            );
            assert!(failure.hint.is_some_and(|hint| !hint.contains("Somebody") && !hint.contains("SCRAM-SHA-256$")));
        }
    }

    #[test]
    fn what_is_not_about_passwords_is_told_as_it_is() {
        let password = Password::new("secret".to_owned());
        let proof = Proof { quoted: "'secret'".to_owned(), sent: Some((Sends::Password, &password)) };
        let failure = Failure::new(FailureKind::Stale, "the ledger was changed").hint("look again");
        assert_eq!(proof.explain(failure.clone()), failure);
        assert_eq!(Proof::none().explain(failure.clone()), failure);
    }
}
