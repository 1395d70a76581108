//! Integration tests in one binary, by question: is every queue backend the same (`queue_conformance`), and
//! every store of the record (`record_conformance`), does the worker do what it promises (`delivery`), do documents and schemas say
//! what is so (`documents`, `schemas`), is Misskey's own API asked as it wants to be (`misskey`), and does the program work through its
//! front door (`journeys`, with the real binary).
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

mod delivery;
mod documents;
mod documents_filters;
mod documents_misskey;
mod documents_operators;
mod journeys;
mod misskey;
mod one_file;
mod postgres;
mod queue_conformance;
mod rabbitmq;
mod record_conformance;
mod schemas;
mod support;
