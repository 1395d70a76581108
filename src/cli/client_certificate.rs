//! `--client-certificate` and `--client-key` of `webhooks create` and `update`: files of this machine, read here.

use std::io::Read;

use super::webhooks::usage;
use super::{CliError, OptionArgs};
use crate::model::{
    CLIENT_CERTIFICATE_BYTES_MAX, CLIENT_KEY_BYTES_MAX, ClientCertificate, ClientCertificateError, path_of_pem,
};

/// What `args` ask for; nothing when they ask for nothing.
pub(super) fn asked(args: &OptionArgs) -> Result<Option<Option<ClientCertificate>>, CliError> {
    let (chain, key) = match (args.client_certificate.as_deref(), args.client_key.as_deref()) {
        (None, None) => return Ok(None),
        (Some("none"), None) => return Ok(Some(None)),
        (Some("none"), Some(_)) => return Err(usage("--client-key", &"there is no key without a certificate")),
        (Some(_), None) => return Err(usage("--client-key", &"it is missing: a certificate comes with its key")),
        (None, Some(_)) => {
            return Err(usage("--client-certificate", &"it is missing: a key comes with its certificate"));
        }
        (Some(chain), Some(key)) => (chain, key),
    };
    let chain_text = content("--client-certificate", chain, CLIENT_CERTIFICATE_BYTES_MAX)?;
    let key_text = content("--client-key", key, CLIENT_KEY_BYTES_MAX)?;
    let certificate = ClientCertificate::new(&chain_text, &key_text).map_err(|error| match error {
        ClientCertificateError::Certificate(why) => usage("--client-certificate", &format!("{chain}: {why}")),
        ClientCertificateError::Key(why) => usage("--client-key", &format!("{key}: {why}")),
    })?;
    Ok(Some(Some(certificate)))
}

/// The text of the file at `path`, which `flag` names; one byte more than is allowed is read, so that it is refused.
fn content(flag: &str, path: &str, bytes_max: usize) -> Result<String, CliError> {
    let path = path_of_pem(path).map_err(|why| usage(flag, &why))?;
    let mut text = String::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(bytes_max as u64 + 1).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| usage(flag, &format!("{path} cannot be read ({error})")))
}
