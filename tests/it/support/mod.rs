//! What tests share: receivers, events, brokers, the program as a child process, a whole worker in a process.

pub(crate) mod amqp;
pub(crate) mod broker;
pub(crate) mod collector;
pub(crate) mod dns;
pub(crate) mod hostile;
pub(crate) mod journey_receiver;
pub(crate) mod misskey;
pub(crate) mod misskey_js;
pub(crate) mod misskey_wire;
pub(crate) mod npm;
pub(crate) mod patience;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod proxies;
pub(crate) mod pypi;
pub(crate) mod python;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod signed;
pub(crate) mod tls_receiver;
pub(crate) mod world;
