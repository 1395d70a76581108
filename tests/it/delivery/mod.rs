//! The worker with a real queue, a real store and real receivers on loopback.
//!
//! Every test ends with [`World::finish`](crate::support::world::World::finish), which checks that no delivery was lost,
//! doubled or made up.

mod failing;
mod foreseen;
mod guarded;
mod hostile;
mod isolation;
mod limited;
mod outages;
mod outcomes;
mod proxied;
mod recorded;
mod retrying;
mod routing;
mod standing;
mod stopping;
mod store_away;
mod trusted;
mod wire;
