//! What signs a webhook's requests (Standard Webhooks 1.0.0): secrets of `v1`, keys of `v1a`, and those that were before them.
//!
//! | | `v1` | `v1a` |
//! |---|---|---|
//! | by | HMAC-SHA256, with a secret that the receiver has too | ed25519: the receiver has the public key alone |
//! | written | `whsec_` and the base64 of 24 to 64 bytes | `whsk_` and the base64 of the seed's 32 bytes, which the public key's 32 may follow |
//! | receiver | the same | `whpk_` and the base64 of the public key's 32 bytes |
//!
//! A secret that takes another's place does not end it: both sign for a grace, so that the receiver can change when it likes. When
//! it ends is known from the start, so whoever signs asks for those that sign now, and nobody has to come and end anything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{Secret, Timestamp, WebhookError};

const SECRET_PREFIX: &str = "whsec_";
const KEY_PREFIX: &str = "whsk_";
const PUBLIC_KEY_PREFIX: &str = "whpk_";
/// Bytes of a secret (Standard Webhooks 1.0.0, "Signature scheme").
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a seed, and of a public key (RFC 8032, section 5.1.5).
const SEED_BYTES: usize = 32;
/// Earlier secrets, and earlier keys, that sign besides: each makes every request's header longer.
pub const PREVIOUS_SIGNING_MAX: usize = 2;
/// Seconds for which an earlier one may sign besides, up to 30 days.
pub const SIGNING_GRACE_S: std::ops::RangeInclusive<u64> = 0..=2_592_000;
/// For how long an earlier one signs besides unless something else is said.
pub const SIGNING_GRACE: Duration = Duration::from_secs(86_400);

/// All that signs a webhook's requests; each signer adds one signature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signing {
    /// Of `v1`.
    pub secret: Signers<Secret>,
    /// Of `v1a`.
    pub key: Signers<SigningKey>,
}

/// What to change of a [`Signing`]; `None` leaves it as it is.
#[derive(Clone, Debug)]
pub struct SigningChange {
    /// The secret that signs from now on; `Some(None)`: none, nor any before it.
    pub secret: Option<Option<Secret>>,
    /// The key that signs from now on; `Some(None)`: none, nor any before it.
    pub key: Option<Option<SigningKey>>,
    /// With a secret or a key: for how long those before it sign at most. Alone: for how long all earlier ones sign from now.
    pub grace: Option<Duration>,
    /// For how long the one before signs when `grace` does not say.
    pub grace_default: Duration,
}

impl Default for SigningChange {
    fn default() -> Self {
        Self { secret: None, key: None, grace: None, grace_default: SIGNING_GRACE }
    }
}

impl SigningChange {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.key.is_none() && self.grace.is_none()
    }
}

impl Signing {
    /// Does what `change` says, and forgets what signs no more at `now`.
    pub fn change(&mut self, change: &SigningChange, now: Timestamp) {
        let until = now.plus(change.grace.unwrap_or(change.grace_default));
        let limit = change.grace.map(|_| until);
        if let (None, None, Some(limit)) = (&change.secret, &change.key, limit) {
            self.secret.end_at(limit);
            self.key.end_at(limit);
        }
        self.secret.set(change.secret.as_ref(), until, limit);
        self.key.set(change.key.as_ref(), until, limit);
        self.secret.previous.retain(|previous| previous.signs(now));
        self.key.previous.retain(|previous| previous.signs(now));
        self.secret.previous.truncate(PREVIOUS_SIGNING_MAX);
        self.key.previous.truncate(PREVIOUS_SIGNING_MAX);
    }
}

/// A secret, or a key, and those before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Signers<K> {
    /// The one that signs; none: nothing is signed.
    pub current: Option<K>,
    /// Those that sign besides, the latest first; at most [`PREVIOUS_SIGNING_MAX`].
    pub previous: Vec<Previous<K>>,
}

/// One that was the current one.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous<K> {
    /// It.
    pub signer: K,
    /// Until when it signs; none: for as long as it stands in the settings.
    pub until: Option<Timestamp>,
}

impl<K> Default for Signers<K> {
    fn default() -> Self {
        Self { current: None, previous: Vec::new() }
    }
}

impl<K> From<K> for Signers<K> {
    fn from(current: K) -> Self {
        Self { current: Some(current), previous: Vec::new() }
    }
}

impl<K: Clone + PartialEq> Signers<K> {
    /// Puts `to` in the place of the current one, which signs besides until `until`. Those before it stay as they are, but not
    /// beyond `limit`. One that is the current one already stays it, so that asking twice does no more than asking once.
    fn set(&mut self, to: Option<&Option<K>>, until: Timestamp, limit: Option<Timestamp>) {
        let new = match to {
            None => return,
            Some(None) => {
                *self = Self::default();
                return;
            }
            Some(Some(new)) => new,
        };
        self.previous.retain(|previous| previous.signer != *new);
        for previous in &mut self.previous {
            previous.until = previous.until.into_iter().chain(limit).min();
        }
        let before = self.current.replace(new.clone()).filter(|before| before != new);
        if let Some(signer) = before {
            self.previous.insert(0, Previous { signer, until: Some(until) });
        }
    }
}

impl<K> Signers<K> {
    /// Those that sign at `now`, the current one first.
    pub fn at(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        self.current.iter().chain(self.previous_at(now).map(|previous| &previous.signer))
    }

    /// Those before the current one that sign at `now`, the latest first.
    pub fn previous_at(&self, now: Timestamp) -> impl Iterator<Item = &Previous<K>> {
        self.previous.iter().filter(move |previous| previous.signs(now))
    }

    fn end_at(&mut self, end: Timestamp) {
        self.previous.iter_mut().for_each(|previous| previous.until = Some(end));
    }
}

impl<K> Previous<K> {
    fn signs(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// An ed25519 key pair.
#[derive(Clone)]
pub struct SigningKey {
    seed: Secret,
    pair: Arc<Ed25519KeyPair>,
}

impl SigningKey {
    /// The key pair of a seed.
    pub fn of_seed(seed: &[u8; SEED_BYTES]) -> Self {
        #[expect(clippy::expect_used, reason = "every 32 bytes are a seed")]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes");
        Self { seed: Secret::new(&BASE64.encode(seed)), pair: Arc::new(pair) }
    }

    /// The secret key, for the store alone.
    pub fn expose(&self) -> String {
        format!("{KEY_PREFIX}{}", self.seed.expose())
    }

    /// The public key, for receivers.
    pub fn public(&self) -> String {
        format!("{PUBLIC_KEY_PREFIX}{}", BASE64.encode(self.pair.public_key().as_ref()))
    }

    /// Signs `content`; the same content has the same signature.
    pub fn sign(&self, content: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(content).as_ref());
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.pair.public_key().as_ref() == other.pair.public_key().as_ref()
    }
}

/// Checks a secret of `v1`: `whsec_` and the base64 of 24 to 64 bytes.
///
/// # Errors
/// When it is none; the words do not quote it.
pub fn check_signing_secret(text: &str) -> Result<Secret, WebhookError> {
    let refused = |why: String| WebhookError::SigningSecret { why };
    let Some(rest) = text.strip_prefix(SECRET_PREFIX) else {
        return Err(refused(match text {
            _ if text.starts_with(KEY_PREFIX) => {
                "this is a key of v1a, which goes where the signing key goes".to_owned()
            }
            _ if text.starts_with(PUBLIC_KEY_PREFIX) => "this is a public key, which signs nothing".to_owned(),
            _ => format!("this does not begin with `{SECRET_PREFIX}`"),
        }));
    };
    let bytes = BASE64.decode(rest.as_bytes()).map_err(|_| refused(no_base64(SECRET_PREFIX)))?;
    if SECRET_BYTES.contains(&bytes.len()) {
        return Ok(Secret::new(text));
    }
    Err(refused(format!("this has {} bytes", bytes.len())))
}

/// Checks a key of `v1a`: `whsk_` and the base64 of an ed25519 seed, which its public key may follow.
///
/// # Errors
/// When it is none, or the public key is another's; the words do not quote it.
pub fn check_signing_key(text: &str) -> Result<SigningKey, WebhookError> {
    let refused = |why: String| WebhookError::SigningKey { why };
    let Some(rest) = text.strip_prefix(KEY_PREFIX) else {
        return Err(refused(match text {
            _ if text.starts_with(SECRET_PREFIX) => {
                "this is a secret of v1, which goes where the signing secret goes".to_owned()
            }
            _ if text.starts_with(PUBLIC_KEY_PREFIX) => "this is the public key, which signs nothing".to_owned(),
            _ => format!("this does not begin with `{KEY_PREFIX}`"),
        }));
    };
    let bytes = BASE64.decode(rest.as_bytes()).map_err(|_| refused(no_base64(KEY_PREFIX)))?;
    let length = || refused(format!("this has {} bytes", bytes.len()));
    let (seed, public) = bytes.split_first_chunk().ok_or_else(length)?;
    let key = SigningKey::of_seed(seed);
    match public.len() {
        0 => Ok(key),
        SEED_BYTES if public == key.pair.public_key().as_ref() => Ok(key),
        SEED_BYTES => Err(refused("the public key in this is not that of its seed".to_owned())),
        _ => Err(length()),
    }
}

fn no_base64(prefix: &str) -> String {
    format!("what follows `{prefix}` here is no base64 (letters, digits, + and /, filled up with =)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const WITH_PUBLIC: &str =
        "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";

    #[test]
    fn a_key_is_a_seed_with_or_without_its_public_key() {
        // RFC 8032, section 7.1, test 1.
        for text in [format!("whsk_{SEED}"), WITH_PUBLIC.to_owned()] {
            let key = check_signing_key(&text).expect("a key");
            assert_eq!(key.public(), "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
            assert_eq!(key.expose(), format!("whsk_{SEED}"));
        }
    }

    #[test]
    fn keys_and_secrets_are_never_printed() {
        let (secret, key) = (check_signing_secret(SECRET), check_signing_key(WITH_PUBLIC));
        let signing = Signing { secret: secret.expect("a secret").into(), key: key.expect("a key").into() };
        let change = SigningChange {
            secret: Some(signing.secret.current.clone()),
            key: Some(signing.key.current.clone()),
            ..SigningChange::default()
        };
        let mut rotated = signing.clone();
        rotated.change(&SigningChange { key: Some(Some(SigningKey::of_seed(&[7; 32]))), ..change.clone() }, at(0));
        let printed = format!("{signing:?} {change:?} {rotated:?}");
        assert!(!printed.contains("nWGx") && !printed.contains("C2FV"), "{printed}");
        // Nor their bytes.
        assert!(!printed.contains("157, 97") && !printed.contains("7, 7"), "{printed}");
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        for (text, words) in [
            ("hunter2".to_owned(), "does not begin with `whsk_`"),
            (SECRET.to_owned(), "a secret of v1"),
            (format!("whpk_{SEED}"), "the public key"),
            ("whsk_???".to_owned(), "no base64"),
            ("whsk_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(), "this has 24 bytes"),
            (format!("whsk_{}", BASE64.encode(&[1; 33])), "this has 33 bytes"),
            (WITH_PUBLIC.replace("DXWp", "DXWq"), "not that of its seed"),
        ] {
            let error = check_signing_key(&text).expect_err(&text).to_string();
            assert!(error.starts_with("signing_key: ") && error.contains(words), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_no_signing_secret_is_refused_in_words() {
        assert!(check_signing_secret(SECRET).is_ok());
        for (text, words) in [
            (SECRET.replace("whsec_", ""), "does not begin with `whsec_`"),
            ("hunter2".to_owned(), "does not begin with `whsec_`"),
            ("whsec_short".to_owned(), "no base64"),
            ("whsec_YQ==".to_owned(), "this has 1 bytes"),
            (format!("whsec_{}", BASE64.encode(&[1; 65])), "this has 65 bytes"),
            (WITH_PUBLIC.to_owned(), "a key of v1a"),
            (format!("whpk_{SEED}"), "a public key"),
        ] {
            let error = check_signing_secret(&text).expect_err(&text).to_string();
            assert!(error.starts_with("signing_secret: ") && error.contains(words), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(s * 1000)
    }

    fn secret(name: u8) -> Secret {
        Secret::new(&name.to_string())
    }

    /// A signing whose secret is 1.
    fn signing() -> Signing {
        Signing { secret: secret(1).into(), key: Signers::default() }
    }

    /// Sets the secret `name` at the second `s`, with a grace of so many seconds, or the default of 100.
    fn set(signing: &mut Signing, name: u8, s: i64, grace: Option<u64>) {
        let change = SigningChange {
            secret: Some(Some(secret(name))),
            grace: grace.map(Duration::from_secs),
            grace_default: Duration::from_secs(100),
            ..SigningChange::default()
        };
        signing.change(&change, at(s));
    }

    fn grace(signing: &mut Signing, s: i64, grace: u64) {
        let change = SigningChange { grace: Some(Duration::from_secs(grace)), ..SigningChange::default() };
        signing.change(&change, at(s));
    }

    fn signing_at(signing: &Signing, s: i64) -> String {
        signing.secret.at(at(s)).map(Secret::expose).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_one_before_signs_until_its_grace_is_over() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        assert_eq!(["2 1", "2 1", "2"], [10, 109, 110].map(|s| signing_at(&signing, s)).each_ref().map(String::as_str));
        set(&mut signing, 3, 200, Some(7));
        assert_eq!(
            ["3 2", "3 2", "3"],
            [200, 206, 207].map(|s| signing_at(&signing, s)).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn of_several_within_their_grace_the_latest_two_sign() {
        let mut signing = signing();
        for (name, s) in [(2, 10), (3, 20), (4, 30)] {
            set(&mut signing, name, s, None);
        }
        assert_eq!(signing_at(&signing, 40), "4 3 2");
        assert_eq!(signing_at(&signing, 125), "4 3", "each to its own end");
    }

    #[test]
    fn one_that_comes_back_signs_once() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        set(&mut signing, 1, 20, None);
        assert_eq!(signing_at(&signing, 20), "1 2");
    }

    #[test]
    fn asking_twice_does_no_more_than_asking_once() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        let once = signing.clone();
        set(&mut signing, 2, 50, None);
        assert_eq!(signing, once);
    }

    #[test]
    fn what_signs_no_more_is_forgotten_at_the_next_change() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        signing.change(&SigningChange::default(), at(109));
        assert_eq!(signing.secret.previous.len(), 1);
        signing.change(&SigningChange::default(), at(110));
        assert_eq!(signing.secret.previous, []);
    }

    #[test]
    fn with_a_grace_of_zero_nothing_earlier_signs() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        set(&mut signing, 3, 20, Some(0));
        assert_eq!((signing_at(&signing, 20), signing.secret.previous.len()), ("3".to_owned(), 0));
    }

    #[test]
    fn a_given_grace_lengthens_no_earlier_ones() {
        let mut signing = signing();
        set(&mut signing, 2, 10, Some(20));
        set(&mut signing, 3, 15, Some(500));
        assert_eq!((signing_at(&signing, 29), signing_at(&signing, 30)), ("3 2 1".to_owned(), "3 2".to_owned()));
    }

    #[test]
    fn a_grace_alone_moves_the_end_of_all_that_still_sign() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        signing.key = SigningKey::of_seed(&[1; 32]).into();
        let key = SigningChange { key: Some(Some(SigningKey::of_seed(&[2; 32]))), ..SigningChange::default() };
        signing.change(&key, at(10));
        let keys_at = |signing: &Signing, s| signing.key.at(at(s)).count();
        grace(&mut signing, 20, 500);
        assert_eq!(["2 1", "2"], [519, 520].map(|s| signing_at(&signing, s)).each_ref().map(String::as_str), "later");
        assert_eq!((keys_at(&signing, 519), keys_at(&signing, 520)), (2, 1));
        grace(&mut signing, 30, 5);
        assert_eq!(["2 1", "2"], [34, 35].map(|s| signing_at(&signing, s)).each_ref().map(String::as_str), "sooner");
        grace(&mut signing, 31, 0);
        assert_eq!((signing_at(&signing, 31), keys_at(&signing, 31)), ("2".to_owned(), 1));
        grace(&mut signing, 32, 500);
        assert_eq!(signing_at(&signing, 32), "2", "what has ended does not come back");
    }

    #[test]
    fn a_new_key_leaves_the_grace_of_secrets_alone() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        let key = Some(Some(SigningKey::of_seed(&[2; 32])));
        signing.change(&SigningChange { key, grace: Some(Duration::ZERO), ..SigningChange::default() }, at(20));
        assert_eq!(signing_at(&signing, 109), "2 1");
    }

    #[test]
    fn what_is_taken_away_takes_those_before_it_with_it() {
        let mut signing = signing();
        set(&mut signing, 2, 10, None);
        signing.change(&SigningChange { secret: Some(None), ..SigningChange::default() }, at(10));
        assert_eq!(signing, Signing::default());
    }
}
