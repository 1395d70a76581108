//! The program through its front door: the real binary, real files, real HTTP.

mod benched;
mod connected;
mod dead_letters;
mod dead_letters_on_rabbitmq;
mod demonstrated;
mod demonstrated_on_rabbitmq;
mod deployed;
mod events_by_http;
mod exhausted;
mod ingested;
mod killed;
mod locked_and_damaged;
mod managed;
mod managed_badly;
mod managed_by_people;
mod managed_tests;
mod measured;
mod misskey_js;
pub(crate) mod producers;
mod publishing;
mod publishing_on_rabbitmq;
mod rabbitmq;
mod reconciled;
mod rejected;
mod started;
mod stopped;
mod webhooks_by_command;
