//! A message of RabbitMQ's, read from any bytes: its lane, its properties as AMQP writes them, its body.

use bytes::Bytes;
use lapin::protocol::basic::parse_properties;

use super::reading::{Incoming, Reader, poison};
use super::topology::Topology;
use super::wire::{self, Rejection};
use crate::model::{Target, Timestamp};
use crate::queue::Lane;

const NOW: Timestamp = Timestamp::from_millis(1_774_960_496_789);

/// Reads a message, and puts it away where it cannot be read; what was read and is written again is read as the same.
pub fn amqp_message(bytes: &[u8]) {
    let Some((lane, bytes)) = bytes.split_first() else { return };
    let lane = [Lane::Work, Lane::Retry, Lane::Dead][usize::from(*lane) % 3];
    let Ok((body, properties)) = parse_properties(bytes) else { return };
    let incoming = Incoming { body: Bytes::copy_from_slice(body), properties, redelivered: false };
    let (topology, reader) = (Topology::new("x."), Reader { event_bytes_max: 1 << 16, server: None });
    let _whether_it_kills = poison(&incoming);
    match reader.read(lane, &incoming, NOW) {
        Err(reason) => {
            assert!(!reason.is_empty());
            let is_ours = lane != Lane::Work;
            let rejection = Rejection { from: "x.work", routing_key: "note", reason: &reason, at: NOW, is_ours };
            let rejected = wire::of_rejected(&topology, incoming.body.clone(), &incoming.properties, &rejection);
            assert_eq!(rejected.body, incoming.body, "what is put away keeps its bytes");
        }
        Ok(taken) => {
            let written = wire::of_message(&topology, &taken.message, "copy", NOW);
            let lane = if matches!(taken.message.target, Target::Subscribers) { Lane::Work } else { Lane::Retry };
            let again = Incoming { body: written.body, properties: written.properties, redelivered: false };
            let reread = reader.read(lane, &again, NOW);
            let reread = reread.map(|reread| reread.message);
            assert_eq!(reread.as_ref().map(|message| &message.event), Ok(&taken.message.event));
            assert_eq!(reread.map(|message| message.target), Ok(taken.message.target));
        }
    }
}
