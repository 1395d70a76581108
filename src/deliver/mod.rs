//! The worker: takes messages from the queue, sends them to receivers, and settles each when all its deliveries have a fate.
//!
//! ```text
//!  queue --lease--> engine --+--> pursuit (one delivery) --> slot --> outbound --> classify --> next_step --+--> settle
//!                            +--> pursuit ...                                                              |
//!                                                                                                          v
//!  queue dead lane --> drainer --> dead letters of the record                                        follow-ups
//! ```
//!
//! The engine runs on a thread of its own with a current-thread runtime: wake-ups between threads cost more than what they
//! would save (docs/decisions/0002). What it holds is bounded by the queue's prefetch, the concurrency, and the slots of
//! each webhook. At shutdown it stops taking, finishes what is in flight within a grace, and leaves the rest in the queue.

mod announcer;
mod drainer;
mod endpoints;
mod engine;
mod failing;
mod foresight;
mod heartbeat;
mod live;
mod outlook;
mod pulse;
mod pursuit;
mod rates;
mod reports;
mod sampler;
mod settle;
mod test_samples;
mod tester;
mod traced;
mod worker;

pub use drainer::Drainer;
pub use endpoints::{EndpointSight, Endpoints, EndpointsSight, HostSight};
pub use heartbeat::{FailingEndpoint, Heartbeat, HeartbeatParts, TOLD_EVERY, WorkerReport};
pub use live::{Happening, HappeningKind, Heard, KEPT_MAX, LISTENERS_MAX, Listener, Live};
pub use pulse::Pulse;
pub use sampler::Sampler;
pub use tester::{TESTS_MAX, Tested, Tester, TestsBusy};
pub use worker::{Observer, Parts, Policy, Worker, WorkerError};

/// What a webhook's latest status says when there was no answer (Misskey's own number).
const STATUS_OF_SILENCE: u16 = 1;
