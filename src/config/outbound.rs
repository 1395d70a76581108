//! `[outbound]`: how requests leave.

use crate::outbound::{Authorities, Outlet};

use super::reader::Section;
use super::values;

/// Files of authorities: each is named by hand.
const CA_FILES_MAX: usize = 32;
/// Bytes of such a file: some times the system's own with all its authorities.
const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// How requests leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// `ca_files`: files with certificates in PEM of authorities that are trusted beside the system's, by receivers' and by
    /// Misskey's TLS, at most 32; relative paths are those of the working directory. They are read at the start. Default
    /// none.
    pub authorities: Authorities,
}

impl Outbound {
    /// The same, for the client.
    pub fn outlet(&self) -> Outlet {
        Outlet { authorities: self.authorities.clone() }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let files = section.list("ca_files", CA_FILES_MAX, |value| authorities_in(values::text(value)?));
        let authorities = files.unwrap_or_default().into_iter().fold(Authorities::default(), Authorities::with);
        Self { authorities }
    }
}

/// The authorities in the file at `path`.
fn authorities_in(path: &str) -> Result<Authorities, String> {
    let unusable = |why: &str| format!("the file {path:?}: {why}");
    let pem = values::file(path, CA_FILE_BYTES_MAX).map_err(|why| unusable(&why))?;
    Authorities::read(&pem).map_err(|why| unusable(&why))
}
