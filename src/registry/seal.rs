//! Seals what is secret in the store, so that who gets hold of the file, or of a backup of it, has no secrets.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a random nonce for each text. The webhook's id and the column's name are
//! authenticated with it, so that a sealed text is of no use in another place. A column holds, in base64, the nonce and what
//! is sealed; the column `sealed_by` beside it names the key.
//!
//! Keys change by adding: the new one seals, the previous ones open what is there until it is sealed anew, at the next start.

use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// Bytes of the digest that name a key.
const NAME_BYTES: usize = 4;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey {
    bytes: [u8; KEY_BYTES],
    name: String,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.name)
    }
}

impl SealKey {
    /// Reads a key: 32 bytes in base64.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn parse(text: &str) -> Result<Self, String> {
        const MAKE_ONE: &str = "`openssl rand -base64 32` makes one";
        let bytes = BASE64.decode(text.as_bytes()).map_err(|_| format!("it is no base64; {MAKE_ONE}"))?;
        let bytes: [u8; KEY_BYTES] = bytes
            .try_into()
            .map_err(|bytes: Vec<u8>| format!("it has {} bytes, and 32 are needed; {MAKE_ONE}", bytes.len()))?;
        if bytes == [bytes[0]; KEY_BYTES] {
            return Err(format!("all its bytes are the same, so that everyone can guess it; {MAKE_ONE}"));
        }
        let digest = Sha256::new_with_prefix("hikyaku seal key").chain_update(bytes).finalize();
        Ok(Self { bytes, name: HEXLOWER.encode(&digest[..NAME_BYTES]) })
    }

    /// Names the key without telling it: the store has it beside what the key has sealed.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.bytes.into())
    }
}

/// The keys of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seals {
    /// Seals; without it, what is written lies in clear text.
    pub current: Option<SealKey>,
    /// Only open.
    pub previous: Vec<SealKey>,
}

/// Which text of which webhook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) webhook: &'a str,
    pub(super) column: &'static str,
}

impl Place<'_> {
    /// Tells it apart from every other: no id has a zero byte.
    fn bytes(&self) -> Vec<u8> {
        [self.webhook.as_bytes(), b"\0", self.column.as_bytes()].concat()
    }
}

impl Seals {
    /// The name of the key that seals.
    pub(super) fn sealed_by(&self) -> Option<&str> {
        self.current.as_ref().map(SealKey::name)
    }

    /// Whether what `name` has sealed can be opened; everyone can open what nothing has.
    pub(super) fn can_open(&self, name: Option<&str>) -> bool {
        name.is_none_or(|name| self.key(name).is_some())
    }

    fn key(&self, name: &str) -> Option<&SealKey> {
        self.current.iter().chain(&self.previous).find(|key| key.name == name)
    }

    /// What the column holds for `text`.
    pub(super) fn seal(&self, place: Place<'_>, text: &str) -> Result<String, String> {
        let Some(key) = &self.current else { return Ok(text.to_owned()) };
        let nonce = XNonce::try_generate().map_err(|error| format!("the system gives no random bytes: {error}"))?;
        let payload = Payload { msg: text.as_bytes(), aad: &place.bytes() };
        let sealed = key.cipher().encrypt(&nonce, payload).map_err(|_| "it is too long to be sealed".to_owned())?;
        Ok(BASE64.encode(&[nonce.as_slice(), &sealed].concat()))
    }

    /// The text for which the column holds `held`, which `sealed_by` has sealed, if anything.
    ///
    /// # Errors
    /// Why it cannot be opened, without quoting anything.
    pub(super) fn open(&self, place: Place<'_>, sealed_by: Option<&str>, held: String) -> Result<String, String> {
        let Some(name) = sealed_by else { return Ok(held) };
        let column = place.column;
        let key = self.key(name).ok_or_else(|| format!("{column}: sealed with the key {name}, which is not here"))?;
        let altered = || format!("{column}: sealed with the key {name}, and altered since");
        let bytes = BASE64.decode(held.as_bytes()).map_err(|_| altered())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(altered)?;
        let payload = Payload { msg: sealed, aad: &place.bytes() };
        let text = key.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| altered())?;
        String::from_utf8(text).map_err(|_| altered())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place { webhook: "wh1", column: "secret" };

    fn key(byte: u8) -> SealKey {
        let mut bytes = [byte; KEY_BYTES];
        bytes[0] = 0xff;
        SealKey::parse(&BASE64.encode(&bytes)).expect("a key")
    }

    fn seals(current: u8, previous: &[u8]) -> Seals {
        Seals { current: Some(key(current)), previous: previous.iter().copied().map(key).collect() }
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_now_or_as_a_previous_one() {
        let sealed = seals(1, &[]).seal(PLACE, "s3cr3t ÿ").expect("sealed");
        assert!(!sealed.contains("s3cr3t"));
        let by = Some(key(1).name().to_owned());
        for opening in [seals(1, &[]), seals(2, &[1]), Seals { current: None, previous: vec![key(1)] }] {
            assert_eq!(opening.open(PLACE, by.as_deref(), sealed.clone()).as_deref(), Ok("s3cr3t ÿ"));
        }
        assert!(!seals(2, &[]).can_open(by.as_deref()));
        let why = seals(2, &[]).open(PLACE, by.as_deref(), sealed).expect_err("another key");
        assert!(why.contains(key(1).name()) && why.contains("not here"), "{why}");
    }

    #[test]
    fn equal_texts_are_sealed_differently() {
        let seals = seals(1, &[]);
        assert_ne!(seals.seal(PLACE, "same"), seals.seal(PLACE, "same"));
    }

    #[test]
    fn what_was_altered_or_moved_is_not_opened() {
        let seals = seals(1, &[]);
        let (sealed, by) = (seals.seal(PLACE, "s3cr3t").expect("sealed"), seals.sealed_by());
        let mut bytes = BASE64.decode(sealed.as_bytes()).expect("base64");
        for index in 0..bytes.len() {
            bytes[index] ^= 1;
            let altered = BASE64.encode(&bytes);
            assert!(seals.open(PLACE, by, altered).is_err_and(|why| why.contains("altered")), "byte {index}");
            bytes[index] ^= 1;
        }
        for place in [Place { webhook: "wh2", ..PLACE }, Place { column: "url", ..PLACE }] {
            assert!(seals.open(place, by, sealed.clone()).is_err(), "{place:?}");
        }
        for broken in ["", "AAAA", "no base64"] {
            assert!(seals.open(PLACE, by, broken.to_owned()).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn without_a_key_a_text_lies_as_it_is() {
        let none = Seals::default();
        assert_eq!(none.seal(PLACE, "s3cr3t").as_deref(), Ok("s3cr3t"));
        assert_eq!(seals(1, &[]).open(PLACE, None, "s3cr3t".to_owned()).as_deref(), Ok("s3cr3t"));
    }

    #[test]
    fn a_key_that_is_none_is_refused_in_words_that_do_not_tell_it() {
        let short = BASE64.encode(b"hunter2hunter2");
        let zeros = BASE64.encode(&[0; KEY_BYTES]);
        for (text, words) in [("hunter2!", "no base64"), (&short, "14 bytes"), (&zeros, "guess"), ("", "0 bytes")] {
            let why = SealKey::parse(text).expect_err(text);
            assert!(why.contains(words) && why.contains("openssl") && !why.contains("hunter2"), "{why}");
        }
        assert!(!format!("{:?}", key(7)).contains('['), "bytes are never printed");
    }
}
