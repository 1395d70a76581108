//! The program through its front door: the real binary, real files, real HTTP.
