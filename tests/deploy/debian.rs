//! The Debian package, built by cargo-deb of the program as it is tested, and looked at by Debian's own tools.
//!
//! That it installs, and runs as a service, is tried by `deploy/systemd/try`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{PROGRAM, path, run, said, text};

/// What the package is made of, beside the manifest.
const SOURCES: [&str; 10] = [
    "src",
    "tests",
    "deploy",
    "docs",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "hikyaku.example.toml",
];

#[track_caller]
fn must(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// cargo-deb, installed once below `target`.
fn cargo_deb() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-debian-python");
    let (lock, mark) = (path("tests/deploy/debian/requirements.txt"), folder.join("installed-by"));
    let wanted = fs::read(&lock).expect("requirements.txt");
    if !fs::read(&mark).is_ok_and(|by| by == wanted) {
        must(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&folder));
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]);
        must(pip.arg("--requirement").arg(&lock));
        fs::write(&mark, wanted).expect("the mark is written");
    }
    folder.join("bin/cargo-deb")
}

/// The package, in a folder that lasts as long as the tests.
fn package() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, package) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let package = build(folder.path());
        (folder, package)
    });
    package
}

fn build(folder: &Path) -> PathBuf {
    // This cargo-deb is older than the edition, which matters nothing to what it does.
    let manifest = text("Cargo.toml").replace("edition = \"2024\"", "edition = \"2021\"");
    fs::write(folder.join("Cargo.toml"), manifest).expect("written");
    for source in SOURCES {
        symlink(path(source), folder.join(source)).expect("linked");
    }
    let (release, made) = (folder.join("target/release"), folder.join("target/debian-made"));
    fs::create_dir_all(&release).expect("a folder");
    fs::create_dir_all(&made).expect("a folder");
    must(Command::new("strip").arg("-o").arg(release.join("hikyaku")).arg(PROGRAM));
    must(Command::new(PROGRAM).args(["man", "--dir"]).arg(made.join("man")));
    for (shell, name) in [("bash", "hikyaku.bash"), ("zsh", "_hikyaku"), ("fish", "hikyaku.fish")] {
        let script = must(Command::new(PROGRAM).args(["completions", shell]));
        fs::write(made.join(name), script).expect("written");
    }
    let package = folder.join("hikyaku.deb");
    let mut deb = Command::new(cargo_deb());
    deb.args(["--no-build", "--no-strip", "--fast", "--output"]).arg(&package).current_dir(folder);
    must(deb.env("CARGO_TARGET_DIR", folder.join("target")).env("CARGO", env!("CARGO")));
    package
}

/// Mode, owner and name of each file and folder.
fn contents() -> Vec<(String, String, String)> {
    let listed = must(Command::new("dpkg-deb").arg("--contents").arg(package()));
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some((mode, owner, format!("/{}", words.nth(3)?.trim_start_matches("./"))))
    };
    listed.lines().filter_map(of_line).collect()
}

#[test]
fn it_has_program_unit_user_settings_pages_completions_and_documents_as_they_must_be() {
    let contents = contents();
    let must_have = [
        ("-rwxr-xr-x", "/usr/bin/hikyaku"),
        ("-rw-r--r--", "/usr/lib/systemd/system/hikyaku.service"),
        ("-rw-r--r--", "/usr/lib/sysusers.d/hikyaku.conf"),
        // Nobody else reads what may hold secrets; the scripts give it to the service's group.
        ("-rw-r-----", "/etc/hikyaku/hikyaku.toml"),
        ("-rw-r--r--", "/usr/share/man/man1/hikyaku.1.gz"),
        ("-rw-r--r--", "/usr/share/man/man1/hikyaku-webhooks-create.1.gz"),
        ("-rw-r--r--", "/usr/share/bash-completion/completions/hikyaku"),
        ("-rw-r--r--", "/usr/share/zsh/vendor-completions/_hikyaku"),
        ("-rw-r--r--", "/usr/share/fish/vendor_completions.d/hikyaku.fish"),
        ("-rw-r--r--", "/usr/share/doc/hikyaku/copyright"),
        ("-rw-r--r--", "/usr/share/doc/hikyaku/changelog.gz"),
        ("-rw-r--r--", "/usr/share/doc/hikyaku/examples/hikyaku.example.toml"),
        ("-rw-r--r--", "/usr/share/doc/hikyaku/docs/systemd.md"),
    ];
    for (mode, name) in must_have {
        let found = contents.iter().find(|(_, _, of)| of == name || of.trim_end_matches(".gz") == name);
        let (has, ..) = found.unwrap_or_else(|| panic!("{name} is missing among {contents:#?}"));
        assert_eq!(has, mode, "{name}");
    }
    for (mode, owner, name) in &contents {
        assert!(["root/root", "0/0"].contains(&owner.as_str()), "{owner} {name}");
        assert!(!mode[1..].contains('s') && !mode[4..].contains('w'), "{mode} {name}");
    }
}

#[test]
fn lintian_finds_nothing_but_what_is_explained() {
    let output = run(Command::new("lintian").args(["--allow-root", "--tag-display-limit", "0"]).arg(package()));
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    let overrides = text("deploy/debian/lintian-overrides");
    let lines: Vec<&str> = overrides.lines().collect();
    let is_explained = |pair: &[&str]| pair[1].starts_with('#') || pair[0].starts_with('#');
    assert!(lines.windows(2).all(is_explained), "each override has its reason in the line before it: {overrides}");
}

#[test]
fn it_needs_what_the_service_needs_and_keeps_the_settings_of_whoever_changed_them() {
    let field = |name: &str| must(Command::new("dpkg-deb").arg("--field").arg(package()).arg(name));
    let depends = field("Depends");
    for needed in ["libc6 (>= ", "systemd (>= 250)", "ca-certificates"] {
        assert!(depends.contains(needed), "{depends}");
    }
    assert_eq!(field("Package").trim(), "hikyaku");
    assert!(field("Version").starts_with(env!("CARGO_PKG_VERSION")), "{}", field("Version"));
    let conffiles = must(Command::new("dpkg-deb").arg("--info").arg(package()).arg("conffiles"));
    assert_eq!(conffiles.trim(), "/etc/hikyaku/hikyaku.toml");
    for script in ["postinst", "prerm", "postrm"] {
        let packed = must(Command::new("dpkg-deb").arg("--info").arg(package()).arg(script));
        assert_eq!(packed.trim(), text(&format!("deploy/debian/{script}")).trim());
        must(Command::new("sh").arg("-n").arg(path(&format!("deploy/debian/{script}"))));
    }
}

#[test]
fn its_user_is_one_that_nobody_logs_in_as() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("etc")).expect("a folder");
    let mut sysusers = Command::new("systemd-sysusers");
    must(sysusers.arg(format!("--root={}", root.path().display())).arg(path("deploy/debian/hikyaku.sysusers")));
    let users = fs::read_to_string(root.path().join("etc/passwd")).expect("passwd");
    let user = users.lines().find(|line| line.starts_with("hikyaku:")).unwrap_or_else(|| panic!("{users}"));
    assert!(user.ends_with(":/var/lib/hikyaku:/usr/sbin/nologin"), "{user}");
}
