//! One reading of a lane: the rows that there is room for, each noted as held, so that none is read twice.
//!
//! `work` and `dead` are read in the order of their numbers, which only grow; `delay` in the order of due times, where a row
//! can be put in behind the place reached; the lane sets the next reading back when one was. Rows given back come first.

use rusqlite::Connection;

use super::lane::LaneState;
use super::rows::{self, DuePlace, Found, Room};
use crate::model::Timestamp;
use crate::queue::Lane;
use crate::queue::lease::{Holder, Ticket};

/// What a read brought.
pub(super) struct Batch {
    pub(super) found: Vec<Found>,
    /// When the next row is due.
    pub(super) next_due: Option<Timestamp>,
}

/// Reads what there is room for and notes it as held, so that no row is read twice.
pub(super) fn read(connection: &Connection, lane: &LaneState, room: Room, now: Timestamp) -> rusqlite::Result<Batch> {
    let mut found = Vec::new();
    let next_due = read_into(&mut found, connection, lane, room, now);
    if next_due.is_err() {
        for row in &found {
            lane.release(Ticket { number: row.id, bytes: row.bytes }, false);
        }
    }
    Ok(Batch { next_due: next_due?, found })
}

fn read_into(
    found: &mut Vec<Found>,
    connection: &Connection,
    lane: &LaneState,
    mut room: Room,
    now: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    read_given_back(found, connection, lane, &mut room)?;
    let place = lane.begin_reading();
    let (reached, next_due) = match lane.lane {
        Lane::Work | Lane::Dead => (read_in_order(found, connection, lane, place, room)?, None),
        Lane::Retry => read_due(found, connection, lane, place, room, now)?,
    };
    lane.end_reading(reached);
    Ok(next_due)
}

fn read_given_back(
    found: &mut Vec<Found>,
    connection: &Connection,
    lane: &LaneState,
    room: &mut Room,
) -> rusqlite::Result<()> {
    while room.is_left() {
        let Some(id) = lane.take_given_back() else { break };
        match rows::read_one(connection, lane.lane, id) {
            Ok(Some(row)) => {
                room.take(row.bytes);
                lane.hold(&row);
                found.push(row);
            }
            Ok(None) => lane.forget(id),
            Err(error) => {
                lane.give_back_again(id);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn read_in_order(
    found: &mut Vec<Found>,
    connection: &Connection,
    lane: &LaneState,
    place: DuePlace,
    room: Room,
) -> rusqlite::Result<DuePlace> {
    let rows = rows::read_after(connection, lane.lane, place.0, room)?;
    rows.iter().for_each(|row| lane.hold(row));
    let reached = rows.last().map_or(place, |last| (last.id, 0));
    found.extend(rows);
    Ok(reached)
}

fn read_due(
    found: &mut Vec<Found>,
    connection: &Connection,
    lane: &LaneState,
    place: DuePlace,
    mut room: Room,
    now: Timestamp,
) -> rusqlite::Result<(DuePlace, Option<Timestamp>)> {
    let places = rows::due_places(connection, place, now, |id| lane.is_free(id), room.messages)?;
    let mut reached = place;
    for due in places {
        if !room.is_left() {
            break;
        }
        reached = due;
        if let Some(row) = rows::read_one(connection, Lane::Retry, due.1)? {
            room.take(row.bytes);
            lane.hold(&row);
            found.push(row);
        }
    }
    let next_due = if found.is_empty() { rows::next_due(connection, now)? } else { None };
    Ok((reached, next_due))
}
