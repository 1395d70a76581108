//! What operators are shown of hikyaku, in one shape for the operators' API and the command line: webhooks, queues, workers,
//! and how it all is.
//!
//! Shapes are made of what the modules below tell, and are written as JSON; none of them has a secret in it unless that was
//! asked for. Nothing is read or changed here.

mod queues;
mod status;
mod webhook;
mod workers;

pub use queues::QueuesShape;
pub use status::{Looked, LookedStore, Places, StatusShape};
pub use webhook::{Revealed, WebhookShape};
pub use workers::WorkerShape;
