//! What tests share: receivers, events, the program as a child process.
