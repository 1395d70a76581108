//! The program through its front door: the real binary, real files, real HTTP.

mod dead_letters;
mod events_by_http;
mod killed;
mod publishing;
mod stopped;
mod webhooks_by_command;
