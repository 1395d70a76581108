//! Rows as a `COPY ... FROM STDIN (FORMAT binary)` takes them (postgresql.org/docs/15/sql-copy.html). Thousands are sent with each
//! group of the history, so nothing is looked up for a value.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes that are sent in one go, about.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of a row, mostly less.
const ROW_BYTES: usize = 4 * 1024;
/// How it begins: the signature, no flags, nothing more in the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of how many values a row has: there is no other row.
const TRAILER: i16 = -1;
/// In place of a value's length: it is null.
const NULL: i32 = -1;

/// Rows that are to be sent.
#[derive(Debug)]
pub(super) struct CopyRows(BytesMut);

/// The values of a row, in the order of its columns.
#[derive(Debug)]
pub struct CopyRow<'a> {
    bytes: &'a mut BytesMut,
    count: i16,
}

impl CopyRows {
    pub(super) fn new() -> Self {
        let mut bytes = BytesMut::with_capacity(CHUNK_BYTES + ROW_BYTES);
        bytes.put_slice(HEADER);
        Self(bytes)
    }

    /// Adds the row whose values `put` tells. Gives what is to be sent when that is much.
    pub(super) fn add(&mut self, put: impl FnOnce(&mut CopyRow<'_>)) -> Option<Bytes> {
        let Self(bytes) = self;
        let begin = bytes.len();
        bytes.put_i16(0);
        let mut row = CopyRow { bytes, count: 0 };
        put(&mut row);
        let count = row.count.to_be_bytes();
        bytes[begin..begin + count.len()].copy_from_slice(&count);
        let is_much = bytes.len() >= CHUNK_BYTES;
        is_much.then(|| {
            let chunk = bytes.split().freeze();
            bytes.reserve(CHUNK_BYTES + ROW_BYTES);
            chunk
        })
    }

    /// What is still to be sent.
    pub(super) fn end(mut self) -> Bytes {
        self.0.put_i16(TRAILER);
        self.0.freeze()
    }
}

impl CopyRow<'_> {
    /// A `BIGINT`.
    pub fn bigint(&mut self, value: impl Into<Option<i64>>) -> &mut Self {
        self.value(value.into().map(i64::to_be_bytes).as_ref())
    }

    /// An `INTEGER`.
    pub fn integer(&mut self, value: impl Into<Option<i32>>) -> &mut Self {
        self.value(value.into().map(i32::to_be_bytes).as_ref())
    }

    /// A `TEXT`; it has no U+0000.
    pub fn text<'t>(&mut self, value: impl Into<Option<&'t str>>) -> &mut Self {
        self.value(value.into())
    }

    fn value(&mut self, value: Option<&(impl AsRef<[u8]> + ?Sized)>) -> &mut Self {
        self.count += 1;
        match value.map(AsRef::as_ref) {
            // PostgreSQL takes none that is longer than 1 GB, and says so.
            Some(value) => {
                self.bytes.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                self.bytes.put_slice(value);
            }
            None => self.bytes.put_i32(NULL),
        }
        self
    }
}
