//! `deploy/Dockerfile`: a linter reads it, and its steps are run as plain commands, with the program of the tests in place of the
//! one that it compiles. What they lay out is then run as Docker would: as its root, not to be written to, by its user, with its
//! variables and command. No image is built: `deploy/image/try` does that.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::dockerfile::{is_handed_over, said_by, steps, words_of};
use crate::support::{PATIENCE, PROGRAM, Running, path, run, said, text};
use crate::tools::{pypi, unpacked};

#[test]
fn the_linter_finds_nothing_in_the_dockerfile() {
    let output = run(pypi("hadolint").arg("--no-color").arg(path("deploy/Dockerfile")));
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
}

#[test]
fn every_base_is_a_version_and_the_compiler_is_the_oldest_that_the_package_allows() {
    let manifest = text("Cargo.toml");
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("it is set");
    let [build, image] = said_by("FROM").try_into().expect("two stages");
    assert_eq!(image, "scratch");
    let tag =
        build.strip_prefix("--platform=$BUILDPLATFORM rust:").and_then(|rest| rest.strip_suffix("-bookworm AS build"));
    let tag = tag.unwrap_or_else(|| panic!("{build}"));
    assert!(tag.starts_with(&format!("{}.", oldest.trim_matches('"'))), "{tag} is not of {oldest}");
    assert_eq!(tag.split('.').count(), 3, "{tag} is one version and no other");
}

#[test]
fn the_image_says_which_version_it_has() {
    let labels = said_by("LABEL").concat();
    let version = env!("CARGO_PKG_VERSION");
    assert!(labels.contains(&format!("org.opencontainers.image.version=\"{version}\"")), "{labels}");
    assert!(text("deploy/Dockerfile").contains(&format!("--tag hikyaku:{version} ")), "the command at its head");
}

/// The files that the sources take in when they are compiled.
fn taken_in() -> Vec<String> {
    let mut found = Vec::new();
    let output = run(Command::new("grep").args(["-rnE", "include_(str|bytes)!", "src"]).current_dir(path(".")));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (file, rest) = line.split_once(':').expect("a file");
        // Up to the first part that is not written there, such as a macro's argument.
        let Some(named) = rest.split('"').nth(1) else { continue };
        let depth = Path::new(file).parent().map_or(0, |folder| folder.components().count());
        let above = named.matches("../").count();
        assert!(above <= depth, "{line}");
        let start: PathBuf = Path::new(file).parent().into_iter().flatten().take(depth - above).collect();
        found.push(start.join(named.trim_start_matches("../")).to_string_lossy().trim_end_matches('/').to_owned());
    }
    found
}

#[test]
fn all_that_is_compiled_in_is_handed_to_the_build_and_no_secret_is() {
    let files = taken_in();
    assert!(files.iter().any(|file| file.starts_with("tests/fixtures/misskey")), "the demo's samples: {files:?}");
    let others = ["Cargo.toml", "Cargo.lock", "src/main.rs", "LICENSE", "deploy/image/root.sh"].map(str::to_owned);
    for file in files.iter().chain(&others) {
        assert!(is_handed_over(file), "{file} is needed and .dockerignore keeps it back");
    }
    for secret in [".env", "hikyaku.toml", "queue.db", "store.db-wal", "target/debug/hikyaku", ".git/config"] {
        assert!(!is_handed_over(secret), "{secret} is handed to the build");
    }
}

/// A container: the file system that the steps of the Dockerfile lay out, a volume, and a port.
struct Container {
    folder: TempDir,
    port: u16,
}

const TOKEN: &str = "a-token-for-the-container";

impl Container {
    /// Runs the steps after the compiler's, in a folder in place of `/`.
    fn build() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name).display().to_string();
        let packages = unpacked("image-packages").display().to_string();
        let mut copied = 0;
        for step in steps() {
            match step.instruction.as_str() {
                "RUN" if step.says.contains("root.sh") => {
                    let here = |word: &str| match word {
                        "/hikyaku" => PROGRAM.to_owned(),
                        "/packages" => packages.clone(),
                        "/image" => place("image"),
                        other => other.to_owned(),
                    };
                    let line = step.says.split(' ').map(here).collect::<Vec<_>>().join(" ");
                    let output = run(Command::new("sh").args(["-c", &line]).current_dir(path(".")));
                    assert!(output.status.success(), "{line}: {}", said(&output));
                }
                // From the build, so with owners and modes.
                "COPY" if step.says.starts_with("--from=build ") => {
                    assert_eq!(step.says, "--from=build /image/ /");
                    copied += 1;
                    fs::rename(place("image"), place("root")).expect("moved");
                }
                _ => {}
            }
        }
        assert_eq!(copied, 1, "the image has what was laid out, and nothing else");
        // What Docker makes itself, and a volume that begins as a copy of what the image has there.
        for name in ["root/proc", "root/dev"] {
            fs::create_dir_all(place(name)).expect("made");
        }
        let [volume] = said_by("VOLUME").try_into().expect("one volume");
        let copy = run(Command::new("cp").args(["-a", &place(&format!("root{volume}")), &place("volume")]));
        assert!(copy.status.success(), "{}", said(&copy));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        Self { folder, port }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The image's variables, and those that `docker run --env` adds.
    fn variables(&self) -> BTreeMap<String, String> {
        let said = said_by("ENV");
        let image = said.iter().map(|line| line.split_once('=').expect("NAME=VALUE"));
        let mut variables: BTreeMap<_, _> = image.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let listen = variables.get_mut("HIKYAKU__SERVER__LISTEN").expect("the image says where it listens");
        assert_eq!(*listen, format!("0.0.0.0:{}", said_by("EXPOSE").concat()), "what is exposed is where it listens");
        *listen = format!("0.0.0.0:{}", self.port);
        variables.insert("HIKYAKU__SERVER__ADMIN_TOKEN".to_owned(), TOKEN.to_owned());
        variables
    }

    /// `command` inside, by the image's user, with its variables, in its folder.
    fn inside(&self, command: &[String]) -> String {
        let [user] = said_by("USER").try_into().expect("one user");
        let [_, folder] = said_by("WORKDIR").try_into().expect("the build's folder, and the image's");
        let variables: Vec<String> = self.variables().iter().map(|(name, value)| format!("'{name}={value}'")).collect();
        let words: Vec<String> = command.iter().map(|word| format!("'{word}'")).collect();
        // chroot goes to `/`: the folder is entered by a loader of the host's, after which the image's program is all there is.
        let root = self.root();
        format!(
            "exec env --ignore-environment {} /usr/bin/python3 -c 'import os, sys, warnings
os.chroot(sys.argv[1]); os.chdir(sys.argv[2])
user, group = sys.argv[3].split(\":\")
os.setgroups([]); os.setgid(int(group)); os.setuid(int(user))
os.execvp(sys.argv[4], sys.argv[4:])' '{}' '{folder}' '{user}' {}",
            variables.join(" "),
            root.display(),
            words.join(" ")
        )
    }

    /// Runs `command` as `docker run --read-only --volume` does, its words written down.
    fn start(&self, command: &[String]) -> Command {
        let (root, volume) = (self.root(), self.folder.path().join("volume"));
        let (root_shown, volume_shown) = (root.display(), volume.display());
        let [mounted] = said_by("VOLUME").try_into().expect("one volume");
        let script = format!(
            "set -eu
mount --bind '{root_shown}' '{root_shown}'
mount -o remount,bind,ro '{root_shown}'
mount -t proc proc '{root_shown}/proc'
mount -t tmpfs -o size=64m tmpfs '{root_shown}/tmp'
mount --bind '{volume_shown}' '{root_shown}{mounted}'
{}",
            self.inside(command)
        );
        let mut start = Command::new("unshare");
        start
            .args(["--mount", "--", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        start
    }

    /// Runs the image's own command, until it serves.
    fn serve(&self) -> Running {
        let command = [words_of("ENTRYPOINT"), words_of("CMD")].concat();
        let mut running = Running(self.start(&command).spawn().expect("unshare"));
        let began = Instant::now();
        while !self.is_healthy(&running).status.success() {
            if let Some(status) = running.0.try_wait().expect("its status") {
                let output =
                    std::mem::replace(&mut running.0, Command::new("true").spawn().expect("true")).wait_with_output();
                panic!("it ended ({status}); unshare and chroot need root: {}", said(&output.expect("its words")));
            }
            assert!(began.elapsed() < PATIENCE, "it was not healthy within {PATIENCE:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        running
    }

    /// The image's health check in the container, as `docker exec` would run it.
    fn is_healthy(&self, running: &Running) -> Output {
        let check = words_of("HEALTHCHECK");
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &running.0.id().to_string(), "--mount", "--", "sh", "-c", &self.inside(&check)]);
        run(&mut enter)
    }
}

/// A file's name below `folder`, with its size and time, of all there are.
fn listed(folder: &Path) -> Vec<String> {
    let output = run(Command::new("find").arg(folder).args(["-printf", "%P %y %m %U %s %T@\n"]));
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_image_serves_as_its_user_and_writes_to_its_volume_alone() {
    let container = Container::build();
    let before = listed(&container.root());
    let mut running = container.serve();
    let status = fs::read_to_string(format!("/proc/{}/status", running.0.id())).expect("its status");
    for ids in ["Uid:\t10001\t10001\t10001\t10001", "Gid:\t10001\t10001\t10001\t10001", "CapEff:\t0000000000000000"] {
        assert!(status.contains(ids), "{ids}: {status}");
    }
    running.signal("TERM");
    assert_eq!(running.ended(), Some(0), "stopped as Docker stops it");
    assert_eq!(listed(&container.root()), before, "what the image has is as it was");
    for name in ["queue.db", "store.db", "history.db"] {
        let file = container
            .folder
            .path()
            .join("volume")
            .join(name)
            .metadata()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((file.uid(), file.mode() & 0o077), (10001, 0), "{name}");
    }
}

#[test]
fn the_health_check_fails_while_hikyaku_hangs_and_after_its_end() {
    let container = Container::build();
    let mut running = container.serve();
    running.signal("STOP");
    let output = container.is_healthy(&running);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    running.signal("CONT");
    let output = container.is_healthy(&running);
    assert!(output.status.success(), "it goes on: {}", said(&output));
    running.signal("TERM");
    running.ended();
    let output = run(Command::new("sh").args(["-c", &container.inside(&words_of("HEALTHCHECK"))]));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn the_demo_runs_in_the_image_and_accounts_for_everything() {
    let container = Container::build();
    let command = [words_of("ENTRYPOINT"), vec!["demo".to_owned()]].concat();
    let output = run(&mut container.start(&command));
    let words = said(&output);
    assert!(output.status.success() && words.contains("\naccounted for: "), "{words}");
}

#[test]
fn the_image_has_every_library_that_the_program_needs_and_authorities_certificates() {
    let container = Container::build();
    let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let loader = loader.into_iter().find(|loader| container.root().join(&loader[1..]).is_symlink()).expect("a loader");
    let list = [loader, "--list", "/usr/local/bin/hikyaku"].map(str::to_owned);
    let output = run(&mut container.start(&list));
    let words = said(&output);
    assert!(output.status.success() && words.contains("libc.so.6 => ") && !words.contains("not found"), "{words}");
    let bundle = fs::read_to_string(container.root().join("etc/ssl/certs/ca-certificates.crt")).expect("certificates");
    assert!(bundle.matches("-----BEGIN CERTIFICATE-----").count() > 100, "{} bytes", bundle.len());
    // Nothing else can be run.
    let programs =
        run(Command::new("find").arg(container.root()).args(["-type", "f", "-perm", "/111", "-printf", "/%P\n"]));
    let programs = said(&programs);
    let others: Vec<&str> = programs.lines().filter(|name| !name.contains(".so")).collect();
    assert_eq!(others, ["/usr/local/bin/hikyaku"]);
}
