//! Who may post whose events: what the secret of a Misskey's webhook to us is worth.
//!
//! A person who configures his own webhook at Misskey knows its secret, so a secret says whose events it may bring: one
//! user's, the system's, or any. With a master, each user has a secret of his own, computed from the master, the source and
//! his id, and it brings that user's events alone. Of a source, any number of credentials count side by side (rotation).
//!
//! Secrets are compared as hashes and without a way out before the last one, so the time taken does not tell how near a
//! guess is, or which of the credentials it is near to.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::model::{IdError, Secret, Source, UserId};

/// Whose events a secret may bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestScope {
    /// Everyone's and the system's, as on a server with one user.
    Any,
    /// The system's.
    System,
    /// This user's.
    User(UserId),
}

/// A text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestScopeError {
    /// None of the three forms.
    #[error("it must be \"any\", \"system\", or \"user:\" and the id of a Misskey user")]
    Unknown,
    /// What follows `user:` is no id.
    #[error("what follows `user:` must be the id of a Misskey user, and {0}")]
    User(#[source] IdError),
}

impl IngestScope {
    /// Reads `any`, `system` or `user:<id>`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, IngestScopeError> {
        match (text, text.strip_prefix("user:")) {
            ("any", _) => Ok(Self::Any),
            ("system", _) => Ok(Self::System),
            (_, Some(id)) => UserId::new(id).map(Self::User).map_err(IngestScopeError::User),
            _ => Err(IngestScopeError::Unknown),
        }
    }

    fn covers(&self, user: Option<&UserId>) -> bool {
        match self {
            Self::Any => true,
            Self::System => user.is_none(),
            Self::User(own) => user == Some(own),
        }
    }
}

/// What opens the way in.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// One secret, for what its scope covers.
    Secret {
        /// The secret.
        secret: Secret,
        /// Whose events it may bring.
        scope: IngestScope,
    },
    /// The key from which each user's secret is computed; it is sent nowhere, and brings no system events.
    Master(Secret),
}

/// The secret of `user` of the Misskey `source` under `master`: HMAC-SHA256 (RFC 2104) with the master as key, over source
/// and user id, each preceded by its length in bytes as a big-endian u32; in 64 lower-case hexadecimal digits, since Misskey
/// sends nothing in this header that is not Latin-1.
pub fn derived_secret(master: &Secret, source: &Source, user: &UserId) -> Secret {
    Secret::new(&derive(master, source.as_str(), user.as_str()))
}

fn derive(master: &Secret, source: &str, user: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(master.expose().as_bytes()).expect("a key");
    for text in [source, user] {
        mac.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        mac.update(text.as_bytes());
    }
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// Whether an event may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// Nobody has that secret.
    WrongSecret,
    /// The secret is one of those, and may not bring this event.
    OutOfScope,
}

/// The credentials of one source.
#[derive(Debug)]
pub struct Gate {
    source: Source,
    grants: Vec<Grant>,
}

#[derive(Debug)]
enum Grant {
    Secret { hash: [u8; 32], scope: IngestScope },
    Master(Secret),
}

impl Gate {
    /// A gate of `source` that nothing opens yet.
    pub fn new(source: Source) -> Self {
        Self { source, grants: Vec::new() }
    }

    /// Whose gate it is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Lets it be opened by `credential` too.
    pub fn add(&mut self, credential: Credential) {
        self.grants.push(match credential {
            Credential::Secret { secret, scope } => Grant::Secret { hash: hash(secret.expose().as_bytes()), scope },
            Credential::Master(master) => Grant::Master(master),
        });
    }

    /// Whether `given` opens it for an event of `user` (none: a system event). Takes equally long whatever is wrong.
    pub fn admits(&self, given: &[u8], user: Option<&UserId>) -> Admission {
        let given = hash(given);
        let (mut is_known, mut is_admitted) = (Choice::from(0), Choice::from(0));
        for grant in &self.grants {
            let (own, covers) = match grant {
                Grant::Secret { hash, scope } => (*hash, scope.covers(user)),
                // Nobody has the empty id, whose secret is computed for the time that it takes.
                Grant::Master(master) => {
                    let derived = derive(master, self.source.as_str(), user.map_or("", UserId::as_str));
                    (hash(derived.as_bytes()), user.is_some())
                }
            };
            let is_same = own.ct_eq(&given);
            is_known |= is_same;
            is_admitted |= is_same & Choice::from(u8::from(covers));
        }
        match (is_known.into(), is_admitted.into()) {
            (_, true) => Admission::Admitted,
            (true, false) => Admission::OutOfScope,
            (false, false) => Admission::WrongSecret,
        }
    }
}

/// Of one length whatever is hashed, so that comparing tells nothing of lengths either.
fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "0123456789abcdef0123456789abcdef";

    fn user(id: &str) -> UserId {
        UserId::new(id).expect("valid")
    }

    fn gate(credentials: impl IntoIterator<Item = Credential>) -> Gate {
        let mut gate = Gate::new(Source::default());
        credentials.into_iter().for_each(|credential| gate.add(credential));
        gate
    }

    fn secret(secret: &str, scope: &str) -> Credential {
        Credential::Secret { secret: Secret::new(secret), scope: IngestScope::parse(scope).expect("a scope") }
    }

    #[test]
    fn a_derived_secret_is_pinned_for_ever() {
        let derived = derived_secret(&Secret::new(MASTER), &Source::default(), &user("9ks5o1w5k3x90001"));
        // Computed apart from this code, by Python's hmac.
        assert_eq!(derived.expose(), "68fd371ebbbc7dc39e6c4e3cb4e26b706ab6b62183c2d1e01d1c4323503ff7c5");
    }

    #[test]
    fn each_scope_covers_its_own_events_and_no_others() {
        let (alice, bob) = (user("alice"), user("bob"));
        let cases: [(&str, [bool; 3]); 3] =
            [("any", [true, true, true]), ("system", [false, false, true]), ("user:alice", [true, false, false])];
        for (scope, admitted) in cases {
            let gate = gate([secret("right", scope)]);
            for (whose, is_admitted) in [Some(&alice), Some(&bob), None].into_iter().zip(admitted) {
                let expected = if is_admitted { Admission::Admitted } else { Admission::OutOfScope };
                assert_eq!(gate.admits(b"right", whose), expected, "{scope} {whose:?}");
                assert_eq!(gate.admits(b"righ", whose), Admission::WrongSecret, "{scope} {whose:?}");
            }
        }
    }

    #[test]
    fn under_a_master_each_user_has_a_secret_that_brings_his_events_alone() {
        let master = Secret::new(MASTER);
        let gate = gate([Credential::Master(master.clone())]);
        let of_alice = derived_secret(&master, &Source::default(), &user("alice"));
        let asked = |whose: Option<&UserId>| gate.admits(of_alice.expose().as_bytes(), whose);
        assert_eq!(asked(Some(&user("alice"))), Admission::Admitted);
        assert_eq!(asked(Some(&user("bob"))), Admission::WrongSecret);
        assert_eq!(asked(None), Admission::WrongSecret);
        assert_eq!(gate.admits(MASTER.as_bytes(), Some(&user("alice"))), Admission::WrongSecret);
        let of_nobody = derive(&master, "default", "");
        assert_ne!(gate.admits(of_nobody.as_bytes(), None), Admission::Admitted, "a master brings no system events");
    }

    #[test]
    fn a_secret_derived_for_one_source_is_worth_nothing_at_another() {
        let master = Secret::new(MASTER);
        let mut other = Gate::new(Source::new("other").expect("valid"));
        other.add(Credential::Master(master.clone()));
        let derived = derived_secret(&master, &Source::default(), &user("alice"));
        assert_eq!(other.admits(derived.expose().as_bytes(), Some(&user("alice"))), Admission::WrongSecret);
        assert_ne!(derive(&master, "ab", "c"), derive(&master, "a", "bc"), "lengths count");
    }

    #[test]
    fn of_several_credentials_each_opens_as_during_a_rotation() {
        let gate =
            gate([secret("old", "user:a"), secret("new", "user:a"), secret("new", "system"), secret("one", "any")]);
        for given in ["old", "new", "one"] {
            assert_eq!(gate.admits(given.as_bytes(), Some(&user("a"))), Admission::Admitted, "{given}");
        }
        assert_eq!(gate.admits(b"new", None), Admission::Admitted, "what several scopes cover together");
        assert_eq!(gate.admits(b"old", None), Admission::OutOfScope);
        assert_eq!(gate.admits(b"", None), Admission::WrongSecret);
    }

    #[test]
    fn what_is_no_scope_is_refused_in_words() {
        for text in ["", "Any", "user", "users:x", "admin"] {
            let words = IngestScope::parse(text).expect_err(text).to_string();
            assert!(words.contains("\"any\", \"system\""), "{words}");
        }
        let words = IngestScope::parse("user:").expect_err("no id").to_string();
        assert!(words.contains("`user:`") && words.contains("it is empty"), "{words}");
    }
}
