//! `[ingest]`: what may come in.

use super::reader::Section;

/// What may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// `event_bytes_max`: bytes of one event, 1 KiB to 16 MiB. Default 1048576 (1 MiB): many times Misskey's largest
    /// notes, small enough that a full queue fits on a small disk.
    pub event_bytes_max: usize,
    /// `request_bytes_max`: bytes of one request, which may bring many events; at least `event_bytes_max`, at most 256
    /// MiB. Default 16777216 (16 MiB): thousands of events at once, and some such requests at a time fit into memory.
    pub request_bytes_max: usize,
}

impl Default for Ingest {
    fn default() -> Self {
        Self { event_bytes_max: 1 << 20, request_bytes_max: 16 << 20 }
    }
}

impl Ingest {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            event_bytes_max: section.whole("event_bytes_max", 1 << 10..=16 << 20).unwrap_or(default.event_bytes_max),
            request_bytes_max: section
                .whole("request_bytes_max", 1 << 10..=256 << 20)
                .unwrap_or(default.request_bytes_max),
        }
    }
}
