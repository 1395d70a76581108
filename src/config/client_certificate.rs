//! A declared webhook's client certificate: two files in PEM.

use super::reader::Section;
use super::values;
use crate::model::{
    CLIENT_CERTIFICATE_BYTES_MAX, CLIENT_KEY_BYTES_MAX, ClientCertificate, ClientCertificateError, path_of_pem,
};

const CERTIFICATE: &str = "client_certificate_file";
const KEY: &str = "client_key_file";

/// What the section declares.
pub(super) fn read(section: &mut Section<'_, '_>) -> Option<ClientCertificate> {
    let chain = section.text(CERTIFICATE, |path| content(path, CLIENT_CERTIFICATE_BYTES_MAX));
    let key = section.text(KEY, |path| content(path, CLIENT_KEY_BYTES_MAX));
    if section.has(CERTIFICATE) != section.has(KEY) {
        section.require(&[CERTIFICATE, KEY]);
    }
    let ((chain_path, chain), (key_path, key)) = (chain?, key?);
    match ClientCertificate::new(&chain, &key) {
        Ok(certificate) => return Some(certificate),
        Err(ClientCertificateError::Certificate(why)) => section.problem(CERTIFICATE, unusable(&chain_path, &why)),
        Err(ClientCertificateError::Key(why)) => section.problem(KEY, unusable(&key_path, &why)),
    }
    None
}

/// The file's path and its text.
fn content(path: &str, bytes_max: usize) -> Result<(String, String), String> {
    let path = path_of_pem(path)?;
    let bytes = values::file(path, bytes_max as u64).map_err(|why| unusable(path, &why))?;
    let text = String::from_utf8(bytes).map_err(|_| unusable(path, "it is no text, as PEM is"))?;
    Ok((path.to_owned(), text))
}

fn unusable(path: &str, why: &str) -> String {
    format!("the file {path:?}: {why}")
}
