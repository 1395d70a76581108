//! `[outbound]` as its users meet it.

use std::time::Duration;

use data_encoding::BASE64;

use super::*;
use crate::decide::AddressPolicy;
use crate::outbound::Client;

fn problems(settings: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("hikyaku.toml"), settings).expect("write");
    Settings::load_in(folder.path(), None, []).expect_err("problems").to_string()
}

/// The problem of a file of authorities with this content.
fn problem_of_ca_file(content: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, content).expect("write");
    let said = problems(&format!("[outbound]\nca_files = [{path:?}]\n"));
    assert!(said.contains(&format!("outbound.ca_files[0]: the file {path:?}: ")), "{said}");
    said
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_named_with_what_is_wrong() {
    let absent = problems("[outbound]\nca_files = [\"/nowhere/ca.pem\"]\n");
    assert!(
        absent.contains("outbound.ca_files[0]: the file \"/nowhere/ca.pem\": it cannot be read (No such"),
        "{absent}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let folder = problems(&format!("[outbound]\nca_files = [{:?}]\n", folder.path()));
    assert!(folder.contains("it cannot be read (Is a directory"), "{folder}");

    let key = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    for content in ["", "hello\n", key] {
        let said = problem_of_ca_file(content.as_bytes());
        assert!(said.contains("it has no certificate in PEM (`-----BEGIN CERTIFICATE-----`)"), "{said}");
        assert!(!said.contains("aHVudGVyMg"), "{said}");
    }
    let unended = problem_of_ca_file(b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n");
    assert!(unended.contains("it is no PEM that can be read"), "{unended}");
    let no_certificate = key.replace("PRIVATE KEY", "CERTIFICATE");
    let said = problem_of_ca_file(no_certificate.as_bytes());
    assert!(said.contains("its certificate number 1 cannot be used"), "{said}");
    let said = problem_of_ca_file(&vec![b'x'; (4 << 20) + 1]);
    assert!(said.contains("it has more than 4194304 bytes"), "{said}");
}

#[test]
fn nothing_switches_the_checking_of_certificates_off() {
    for section in ["outbound", "delivery", "webhooks"] {
        for name in ["insecure", "tls_insecure", "verify", "tls_verify", "skip_verify", "accept_invalid_certs"] {
            let header = if section == "webhooks" { "[[webhooks]]".to_owned() } else { format!("[{section}]") };
            let needed = "id = \"a\"\nurl = \"https://a.example/\"\non = [\"note\"]\n";
            let needed = if section == "webhooks" { needed } else { "" };
            let said = problems(&format!("{header}\n{needed}{name} = true\n"));
            assert!(said.contains(name) && said.contains("unknown setting"), "{section}.{name}: {said}");
        }
    }
}

#[test]
fn neither_the_proxys_password_nor_a_clients_key_is_printed() {
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "[outbound]\nproxy = \"http://us3r:hunter2@proxy.example:3128\"\n[[webhooks]]\nid = \"a\"\nurl = \
         \"https://a.example/\"\non = [\"note\"]\nclient_certificate_file = \"{files}/client.pem\"\nclient_key_file = \
         \"{files}/client-key.pem\"\n"
    );
    std::fs::write(folder.path().join("hikyaku.toml"), settings).expect("write");
    let settings = Settings::load_in(folder.path(), None, []).expect("valid");
    let client = Client::new("x", Duration::from_secs(1), AddressPolicy::default(), &settings.outbound.outlet());
    let printed = format!("{settings:?} {:?} {:?}", settings.outbound.outlet(), client.expect("a client"));
    assert!(printed.contains("http://proxy.example:3128") && printed.contains("ClientCertificate("), "{printed}");
    let key = std::fs::read_to_string(format!("{files}/client-key.pem")).expect("readable");
    let second_line = key.lines().nth(2).expect("a line");
    // Bytes of the key's number, which the second line holds, as Rust shows them.
    let bytes = BASE64.decode(second_line.as_bytes()).expect("base64");
    let bytes = format!("{:?}", &bytes[..8]);
    for secret in ["us3r", "hunter2", "PRIVATE KEY", second_line, bytes.trim_matches(['[', ']'])] {
        assert!(!printed.contains(secret), "{secret}: {printed}");
    }
}

#[test]
fn a_key_in_the_place_of_its_files_path_is_not_quoted() {
    let pem = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
    let hook = "[[webhooks]]\nid = \"a\"\nurl = \"https://a.example/\"\non = [\"note\"]\n";
    for (settings, name) in [
        (format!("[outbound]\nca_files = ['''{pem}''']\n"), "outbound.ca_files[0]"),
        (
            format!("{hook}client_certificate_file = '''{pem}'''\nclient_key_file = '''{pem}'''\n"),
            "webhooks[0].client_key_file",
        ),
    ] {
        let said = problems(&settings);
        assert!(said.contains(&format!("{name}: it is PEM itself, and the path of the file")), "{said}");
        assert!(!said.contains("aHVudGVyMg"), "{said}");
    }
}
