//! The operators' API through the front door: who is let in, what is not there, and the document that describes it.

mod admitted;
mod checked;
mod described;
mod looked;
mod mistaken;
mod remote;
mod remote_acts;
