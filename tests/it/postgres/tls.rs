//! TLS with PostgreSQL: the server's certificate is checked in full, ours is shown, and what is wrong is told.

use std::path::Path;

use hikyaku::postgres::{Postgres, PostgresError, PostgresUrl};
use hikyaku::telemetry::Telemetry;
use tempfile::NamedTempFile;

use crate::support::broker::{Authority, Issued};
use crate::support::postgres::{Server, database};

/// Who comes over the network shows a certificate too.
const WHO_MAY: &str = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n";

/// A server with a certificate of `authority` for localhost, which wants one of whoever comes.
fn server(authority: &Authority) -> Server {
    let Issued { certificate, key } = authority.issue("localhost");
    let who_may = NamedTempFile::new().expect("a file");
    std::fs::write(who_may.path(), WHO_MAY).expect("written");
    let settings = [
        "ssl=on",
        "ssl_cert_file={folder}/server.pem",
        "ssl_key_file={folder}/server-key.pem",
        "ssl_ca_file={folder}/ca.pem",
        "hba_file={folder}/hba",
    ];
    let files: [(&str, &Path); 4] = [
        ("server.pem", &certificate),
        ("server-key.pem", &key),
        ("ca.pem", &authority.certificate),
        ("hba", who_may.path()),
    ];
    Server::start_with(&settings, &files)
}

/// What the address of `server` is with these options.
fn at(server: &Server, host: &str, options: &str) -> Postgres {
    let url = format!("{}?{options}", server.url("postgres").replace("127.0.0.1", host));
    Postgres::new(PostgresUrl::parse(&url).expect("a URL"), Telemetry::shared().expect("metrics"))
}

/// The words with which it is refused.
async fn refused(postgres: &Postgres) -> String {
    let error = postgres.session().await.expect_err("refused");
    assert!(matches!(error, PostgresError::Tls { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_its_name_and_we_by_our_certificate() {
    let authority = Authority::new();
    let server = server(&authority);
    let ours = authority.issue("hikyaku");
    let trust = format!("sslmode=verify-full&sslrootcert={}", authority.certificate.display());
    let us = format!("sslcert={}&sslkey={}", ours.certificate.display(), ours.key.display());

    let postgres = at(&server, "localhost", &format!("{trust}&{us}"));
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = postgres.session().await.expect("let in").query_opt(encrypted, &[]).await.expect("asked");
    assert!(row.expect("a row").get::<_, bool>(0));

    let unknown_authority = refused(&at(&server, "localhost", &format!("sslmode=verify-full&{us}"))).await;
    assert!(unknown_authority.contains("sslrootcert"), "{unknown_authority}");
    let other_name = refused(&at(&server, "127.0.0.1", &format!("{trust}&{us}"))).await;
    assert!(other_name.contains("certificate must be for the host"), "{other_name}");
    let without_ours = at(&server, "localhost", &trust).session().await.expect_err("no certificate").to_string();
    assert!(without_ours.contains("certificate"), "{without_ours}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_when_tls_is_asked_for() {
    let url = format!("{}?sslmode=verify-full", database());
    let postgres = Postgres::new(PostgresUrl::parse(&url).expect("a URL"), Telemetry::shared().expect("metrics"));
    let words = refused(&postgres).await;
    assert!(words.contains("speaks none") && words.contains("sslmode=disable"), "{words}");
    let missing = format!("{}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", database());
    let postgres = Postgres::new(PostgresUrl::parse(&missing).expect("a URL"), Telemetry::shared().expect("metrics"));
    assert!(refused(&postgres).await.contains("/nowhere/ca.pem"));
}
