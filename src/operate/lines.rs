//! Cuts what arrives in pieces into lines, numbered from 1, of bounded length: what is over the limit is counted and dropped.

use bytes::Bytes;

/// A line that is not blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// Its text without the white space around it, or how many bytes there were when they were too many.
    pub text: Result<Bytes, usize>,
}

/// Lines that arrive.
#[derive(Debug)]
pub struct Lines {
    line_bytes_max: usize,
    number: u64,
    /// The beginning of a line whose end has not arrived, up to the limit, and its whole length.
    held: Vec<u8>,
    length: usize,
}

impl Lines {
    /// Lines of at most `line_bytes_max` bytes.
    pub fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max, number: 0, held: Vec::new(), length: 0 }
    }

    /// The lines that end in `piece`.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.hold(&rest[..end]);
            lines.extend(self.end());
            rest = &rest[end + 1..];
        }
        self.hold(rest);
        lines
    }

    /// The last line, which needs no line break.
    pub fn finish(&mut self) -> Option<Line> {
        if self.length == 0 { None } else { self.end() }
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        // White space around the text is no part of it; two bytes are what a line break of others may leave.
        let room = self.line_bytes_max.saturating_add(2).saturating_sub(self.held.len()).min(bytes.len());
        self.held.extend_from_slice(&bytes[..room]);
    }

    fn end(&mut self) -> Option<Line> {
        self.number += 1;
        let (held, length) = (std::mem::take(&mut self.held), std::mem::take(&mut self.length));
        // The byte order mark that some editors put before a text.
        let text = if self.number == 1 { held.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&held) } else { &held };
        let text = text.trim_ascii();
        if length > self.line_bytes_max.saturating_add(2) {
            return Some(Line { number: self.number, text: Err(length) });
        }
        (!text.is_empty()).then(|| Line { number: self.number, text: Ok(Bytes::copy_from_slice(text)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &'static str) -> Line {
        Line { number, text: Ok(Bytes::from_static(text.as_bytes())) }
    }

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_arrive() {
        let text = "\u{feff}one\r\n\n  two \nthree is too long\nfour";
        let expected = vec![line(1, "one"), line(3, "two"), Line { number: 4, text: Err(17) }, line(5, "four")];
        for size in 1..=text.len() {
            let mut lines = Lines::new(10);
            let mut found: Vec<Line> = text.as_bytes().chunks(size).flat_map(|piece| lines.push(piece)).collect();
            found.extend(lines.finish());
            assert_eq!(found, expected, "in pieces of {size}");
            assert_eq!(lines.finish(), None);
        }
    }

    #[test]
    fn a_line_without_an_end_costs_no_more_than_its_limit() {
        let mut lines = Lines::new(10);
        for _ in 0..1000 {
            assert_eq!(lines.push(&[b'x'; 1000]), []);
        }
        assert!(lines.held.capacity() < 100);
        assert_eq!(lines.finish(), Some(Line { number: 1, text: Err(1_000_000) }));
    }
}
