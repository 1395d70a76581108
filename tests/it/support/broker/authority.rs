//! An authority of our own that signs certificates for a day, by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

/// An authority; its files go with it.
pub(crate) struct Authority {
    folder: TempDir,
    /// Its certificate, which others trust.
    pub(crate) certificate: PathBuf,
    key: PathBuf,
}

/// What an authority has signed.
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    /// In PKCS#8.
    pub(crate) key: PathBuf,
}

impl Issued {
    /// The certificate's bytes.
    pub(crate) fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_file(&self.certificate).expect("a certificate").to_vec()
    }
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [certificate, key] = ["ca.pem", "ca-key.pem"].map(|name| folder.path().join(name));
        std::fs::write(folder.path().join("empty.cnf"), "[req]\ndistinguished_name = name\n[name]\n").expect("write");
        let authority = Self { folder, certificate, key };
        let name = format!("CN=authority {}", uuid::Uuid::new_v4().simple());
        authority.request("ec", &name, "basicConstraints=critical,CA:TRUE", &[], "ca");
        authority
    }

    /// A certificate for `name`, which is a host or a client, with an elliptic key.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_with("ec", name)
    }

    /// The same with an RSA key.
    pub(crate) fn issue_rsa(&self, name: &str) -> Issued {
        self.issue_with("rsa", name)
    }

    /// A certificate that was valid until yesterday.
    pub(crate) fn issue_expired(&self, name: &str) -> Issued {
        let Issued { key, .. } = self.issue(name);
        let file = |end: &str| self.folder.path().join(format!("{name}-expired{end}"));
        std::fs::write(file(".cnf"), format!("subjectAltName=DNS:{name}\n")).expect("write");
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-subj", &format!("/CN={name}")]).arg("-key").arg(&key);
        request.arg("-config").arg(self.folder.path().join("empty.cnf")).arg("-out").arg(file(".csr"));
        run(request);
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-set_serial", "7", "-days", "-1"]).arg("-in").arg(file(".csr"));
        sign.arg("-CA").arg(&self.certificate).arg("-CAkey").arg(&self.key).arg("-extfile").arg(file(".cnf"));
        sign.arg("-out").arg(file(".pem"));
        run(sign);
        Issued { certificate: file(".pem"), key }
    }

    /// `key` in its traditional form: SEC1 or PKCS#1.
    pub(crate) fn traditional(&self, key: &Path) -> PathBuf {
        self.rewrite(key, "traditional", &["-traditional"])
    }

    /// `key` with a password.
    pub(crate) fn encrypted(&self, key: &Path) -> PathBuf {
        self.rewrite(key, "encrypted", &["-aes256", "-passout", "pass:word"])
    }

    fn issue_with(&self, kind: &str, name: &str) -> Issued {
        let names = format!("subjectAltName=DNS:{name}");
        let signer = ["-CA", &text(&self.certificate), "-CAkey", &text(&self.key)].map(str::to_owned);
        let [certificate, key] = self.request(kind, &format!("CN={name}"), &names, &signer, &format!("{name}-{kind}"));
        Issued { certificate, key }
    }

    fn request(&self, kind: &str, subject: &str, extension: &str, signer: &[String], file: &str) -> [PathBuf; 2] {
        let [certificate, key] = [".pem", "-key.pem"].map(|end| self.folder.path().join(format!("{file}{end}")));
        let strength = if kind == "ec" { "ec_paramgen_curve:prime256v1" } else { "rsa_keygen_bits:2048" };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "1", "-newkey", kind, "-pkeyopt", strength]);
        command.arg("-config").arg(self.folder.path().join("empty.cnf")).arg("-subj").arg(format!("/{subject}"));
        command.args(["-addext", extension]).args(signer).arg("-out").arg(&certificate).arg("-keyout").arg(&key);
        run(command);
        [certificate, key]
    }

    fn rewrite(&self, key: &Path, form: &str, args: &[&str]) -> PathBuf {
        let rewritten = key.with_extension(format!("{form}.pem"));
        let mut command = Command::new("openssl");
        command.arg("pkey").arg("-in").arg(key).args(args).arg("-out").arg(&rewritten);
        run(command);
        rewritten
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(mut command: Command) {
    let output = command.output().expect("openssl; tests/run installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
