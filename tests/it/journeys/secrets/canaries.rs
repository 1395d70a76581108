//! Secrets that no text can hold by chance, and the search for them in whatever form they might have got there.

use std::cell::RefCell;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

/// Characters of a secret that are looked for: so many that nobody meets them by chance, and not all, so that one that is
/// printed in part is found too.
const LOOKED_FOR_BYTES: usize = 15;

/// Where the secret number begins in such a key (RFC 5208, RFC 5915).
const SCALAR_AT: usize = 36;

/// One secret: what it is, and the bytes of it that are looked for.
#[derive(Debug)]
struct Canary {
    what: &'static str,
    forms: Vec<String>,
}

/// All secrets of a run.
#[derive(Debug, Default)]
pub(super) struct Canaries(RefCell<Vec<Canary>>);

impl Canaries {
    /// A new secret: `before`, 32 letters and digits, and `after`.
    pub(super) fn text(&self, what: &'static str, before: &str, after: &str) -> String {
        let core = uuid::Uuid::new_v4().simple().to_string();
        self.look_for(what, &core);
        format!("{before}{core}{after}")
    }

    /// A new key: 32 bytes in base64, after `prefix`.
    pub(super) fn key(&self, what: &'static str, prefix: &str) -> String {
        let bytes: Vec<u8> = (0..32).map(|_| fastrand::u8(..)).collect();
        let text = BASE64.encode(&bytes);
        self.look_for(what, &text);
        self.look_for_bytes(what, &bytes);
        format!("{prefix}{text}")
    }

    /// Looks for a secret that was made elsewhere.
    pub(super) fn look_for(&self, what: &'static str, text: &str) {
        assert!(text.len() >= LOOKED_FOR_BYTES, "{what} is too short to be found for certain");
        self.look_for_bytes(what, text.as_bytes());
        let begin = &text[..LOOKED_FOR_BYTES];
        self.add(what, vec![begin.to_owned(), begin.to_lowercase(), begin.to_uppercase()]);
    }

    /// Looks for a key in PEM, PKCS#8 of P-256 as `openssl` makes them: for its lines, and for the number that it is.
    pub(super) fn look_for_key(&self, what: &'static str, pem: &str) {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = BASE64.decode(lines.concat().as_bytes()).expect("PEM");
        // The number is in the first two lines; behind it is the public key, which certificates have too.
        for line in &lines[..2] {
            self.look_for(what, line);
        }
        self.look_for_bytes(what, &der[SCALAR_AT..]);
    }

    /// As hexadecimal, base64, percent-encoded, and as Rust shows bytes.
    fn look_for_bytes(&self, what: &'static str, bytes: &[u8]) {
        let begin = &bytes[..LOOKED_FOR_BYTES];
        let hex = HEXLOWER.encode(begin);
        let percent: String = begin.iter().map(|byte| format!("%{byte:02x}")).collect();
        let shown = format!("{begin:?}");
        let mut forms = vec![hex.to_uppercase(), hex, percent.to_uppercase(), percent];
        forms.push(shown.trim_matches(['[', ']']).to_owned());
        // In base64 three bytes are four characters, so it depends on how many came before.
        for skipped in 0..3 {
            let whole = &begin[skipped..];
            let whole = &whole[..whole.len() / 3 * 3];
            forms.extend([BASE64.encode(whole), BASE64URL_NOPAD.encode(whole)]);
        }
        self.add(what, forms);
    }

    fn add(&self, what: &'static str, forms: Vec<String>) {
        self.0.borrow_mut().push(Canary { what, forms });
    }

    /// Which of them are in `text`.
    pub(super) fn found_in(&self, text: &str) -> Vec<&'static str> {
        let canaries = self.0.borrow();
        let is_there = |canary: &&Canary| canary.forms.iter().any(|form| text.contains(form.as_str()));
        canaries.iter().filter(is_there).map(|canary| canary.what).collect()
    }
}

#[test]
fn a_secret_is_found_in_every_form_and_nothing_where_there_is_none() {
    let canaries = Canaries::default();
    let text = canaries.text("a text", "p@ss ", "/w?rd");
    let key = canaries.key("a key", "whsec_");
    let bytes = BASE64.decode(&key.as_bytes()["whsec_".len()..]).expect("base64");
    let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for told in [
        format!("it is {text}."),
        format!("{{\"secret\":{text:?}}}"),
        text.to_uppercase(),
        text[..22].to_owned(),
        percent,
        HEXLOWER.encode(text.as_bytes()),
        BASE64.encode(format!("x{text}").as_bytes()),
        BASE64.encode(format!("xy{text}").as_bytes()),
        BASE64URL_NOPAD.encode(text.as_bytes()),
        format!("{:?}", text.as_bytes()),
    ] {
        assert_eq!(canaries.found_in(&told).first(), Some(&"a text"), "{told}");
    }
    for told in [key, HEXLOWER.encode(&bytes), format!("{bytes:?}")] {
        assert_eq!(canaries.found_in(&told).first(), Some(&"a key"), "{told}");
    }
    assert!(canaries.found_in("p@ss /w?rd, whsec_, and nothing else").is_empty());
}

#[test]
fn a_key_in_pem_is_found_in_every_form_and_not_in_its_certificate() {
    let pem = include_str!("../../../fixtures/tls/client-key.pem");
    let certificate = include_str!("../../../fixtures/tls/client.pem");
    let canaries = Canaries::default();
    canaries.look_for_key("a key in PEM", pem);
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = BASE64.decode(base64.as_bytes()).expect("base64");
    let number = &der[SCALAR_AT..SCALAR_AT + 32];
    for told in [
        pem.to_owned(),
        format!("{pem:?}"),
        pem.lines().nth(2).expect("a line").to_owned(),
        base64,
        HEXLOWER.encode(&der),
        HEXLOWER.encode(number),
        format!("{der:?}"),
        BASE64.encode(number),
    ] {
        assert_eq!(canaries.found_in(&told).first(), Some(&"a key in PEM"), "{told}");
    }
    assert!(canaries.found_in(certificate).is_empty());
}
