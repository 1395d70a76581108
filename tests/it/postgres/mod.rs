//! What PostgreSQL needs beside itself to be tested: certificates.

mod tls;
