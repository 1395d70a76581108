//! `[outbound]`: how requests leave.

use crate::model::path_of_pem;
use crate::outbound::{Authorities, Outlet, Proxy};

use super::reader::Section;
use super::server::unless_empty;
use super::values;

/// Files of authorities: each is named by hand.
const CA_FILES_MAX: usize = 32;
/// Bytes of such a file: some times the system's own with all its authorities.
const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// How requests leave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outbound {
    /// `ca_files`: files with certificates in PEM of authorities that are trusted beside the system's, by receivers' and by
    /// Misskey's TLS, at most 32; relative paths are those of the working directory. They are read at the start. Default
    /// none.
    pub authorities: Authorities,
    /// `proxy`: through which requests to receivers go, `http://host:port` (CONNECT) or `socks5://host:port`, with
    /// `user:password@`, percent-encoded, where it wants that. Default none, also where the environment names one: what leads
    /// where is the admin's to say here. `proxy_resolves`: whether it is told receivers' names, and looks them up itself; what
    /// they lead to is then its to check, not the address guard's. Default false.
    pub proxy: Option<Proxy>,
}

impl Outbound {
    /// The same, for the client.
    pub fn outlet(&self) -> Outlet {
        Outlet { authorities: self.authorities.clone(), proxy: self.proxy.clone() }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let files = section.list("ca_files", CA_FILES_MAX, |value| authorities_in(values::text(value)?));
        let authorities = files.unwrap_or_default().into_iter().fold(Authorities::default(), Authorities::with);
        let proxy = section.text("proxy", |text| unless_empty(text, Proxy::parse)).flatten();
        let resolves = section.flag("proxy_resolves").unwrap_or(false);
        if resolves && proxy.is_none() && !section.has("proxy") {
            section.problem("proxy_resolves", "it is true, and outbound.proxy is not set; set that too".to_owned());
        }
        Self { authorities, proxy: if resolves { proxy.map(Proxy::resolving) } else { proxy } }
    }
}

/// The authorities in the file at `path`.
fn authorities_in(path: &str) -> Result<Authorities, String> {
    let path = path_of_pem(path)?;
    let unusable = |why: &str| format!("the file {path:?}: {why}");
    let pem = values::file(path, CA_FILE_BYTES_MAX).map_err(|why| unusable(&why))?;
    Authorities::read(&pem).map_err(|why| unusable(&why))
}
