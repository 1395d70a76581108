//! A pack: the ids of some thousand rows, written in one go.
//!
//! Ids are random: in an index each new one would change a page somewhere. They are looked for once in a while, so they are packed
//! instead: the ids' hashes with the rows' numbers, in order. Stores keep packs as bytes, so this is a format that stays. A pack tells
//! where an id may be, for another may have its hash.

/// Bytes of a row in a pack: its id's hash, and its number, both with the highest byte first.
const ENTRY_BYTES: usize = HASH_BYTES + 8;
const HASH_BYTES: usize = 4;

/// Rows that are to be packed, by their deliveries' ids and by their events'.
#[derive(Debug, Default)]
pub(super) struct Packer {
    numbers: Vec<i64>,
    ids: Vec<u64>,
    events: Vec<u64>,
}

impl Packer {
    /// One for so many rows.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { numbers: Vec::with_capacity(rows), ids: Vec::with_capacity(rows), events: Vec::with_capacity(rows) }
    }

    /// Adds the row of that number.
    pub(super) fn add(&mut self, id: &str, event: &str, number: i64) {
        // A hash, and below it which row it is, in one integer: thousands are sorted with each group, and these are sorted fastest.
        let place = |id| (u64::from(hash(id)) << 32) | self.numbers.len() as u64;
        self.ids.push(place(id));
        self.events.push(place(event));
        self.numbers.push(number);
    }

    /// The pack of deliveries' ids and that of events'; the rows of one hash are in the order in which they came.
    pub(super) fn packs(mut self) -> (Vec<u8>, Vec<u8>) {
        self.ids.sort_unstable();
        self.events.sort_unstable();
        (self.pack(&self.ids), self.pack(&self.events))
    }

    fn pack(&self, places: &[u64]) -> Vec<u8> {
        let mut pack = Vec::with_capacity(places.len() * ENTRY_BYTES);
        for place in places {
            let [h0, h1, h2, h3, row @ ..] = place.to_be_bytes();
            pack.extend_from_slice(&[h0, h1, h2, h3]);
            pack.extend_from_slice(&self.numbers[u32::from_be_bytes(row) as usize].to_be_bytes());
        }
        pack
    }
}

/// The numbers of the rows in a pack that may have that id.
pub(super) fn numbers_of(pack: &[u8], id: &str) -> impl Iterator<Item = i64> {
    let hash = hash_bytes(id);
    let (entries, _rest) = pack.as_chunks::<ENTRY_BYTES>();
    let first = entries.partition_point(|entry| entry[..HASH_BYTES] < hash[..]);
    entries[first..].iter().take_while(move |entry| entry[..HASH_BYTES] == hash[..]).map(number_of)
}

/// The numbers of all rows in a pack.
pub(super) fn all_numbers_of(pack: &[u8]) -> impl Iterator<Item = i64> {
    pack.as_chunks::<ENTRY_BYTES>().0.iter().map(number_of)
}

fn number_of(entry: &[u8; ENTRY_BYTES]) -> i64 {
    entry[HASH_BYTES..].iter().fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

/// The hash of an id, as it stands in packs.
pub(super) fn hash_bytes(id: &str) -> [u8; HASH_BYTES] {
    hash(id).to_be_bytes()
}

/// FNV-1a of 32 bits. Whoever chooses ids so that many have one hash makes them be looked at in vain, no more.
fn hash(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_as_the_standard_has_it_since_it_is_kept_in_files() {
        // Two of the vectors by which implementations are tested.
        assert_eq!((hash(""), hash("foobar")), (0x811c_9dc5, 0xbf9c_f968));
    }

    #[test]
    fn a_pack_has_each_of_its_rows_also_several_of_one_id() {
        let rows: Vec<(String, i64)> = (0..500_i64).map(|n| (format!("event{}", n / 3), (n << 40) + 7)).collect();
        let mut packer = Packer::default();
        rows.iter().for_each(|(event, number)| packer.add(&format!("msg_{number}"), event, *number));
        let (ids, pack) = packer.packs();
        for (_, number) in &rows {
            assert_eq!(numbers_of(&ids, &format!("msg_{number}")).collect::<Vec<_>>(), [*number]);
        }
        for event in 0..166 {
            let expected: Vec<i64> = (0..3).map(|n| ((event * 3 + n) << 40) + 7).collect();
            assert_eq!(numbers_of(&pack, &format!("event{event}")).collect::<Vec<_>>(), expected, "{event}");
        }
        assert_eq!(numbers_of(&pack, "another").count(), 0);
        assert_eq!(numbers_of(&[], "event1").count(), 0);
        let mut all: Vec<i64> = all_numbers_of(&pack).collect();
        all.sort_unstable();
        assert_eq!(all, rows.iter().map(|(_, number)| *number).collect::<Vec<_>>());
    }
}
