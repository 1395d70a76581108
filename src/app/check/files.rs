//! Files of queue, store and history: whether they can be written, by whom, on what disk, and which hikyaku wrote them.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::cli::Finding;
use crate::config::Settings;
use crate::record::{HISTORY_SCHEMA_PART, SCHEMA_PARTS};
use crate::store::SchemaPart;
use crate::{queue, registry, sqlite};

/// Less than this, and what is in flight may fill the disk.
const FREE_BYTES_MIN: u64 = 256 << 20;
const MIB: u64 = 1 << 20;

/// A file that is to be looked at.
pub(super) struct Place {
    about: &'static str,
    path: PathBuf,
    /// What may be in it: parts and steps.
    known: Vec<(&'static str, usize)>,
    /// Bytes that it may grow to; none: as many as the disk has.
    bytes_max: Option<u64>,
}

/// The files that `settings` name.
pub(super) fn places(settings: &Settings) -> Vec<Place> {
    let mut places = Vec::new();
    if let Some(path) = settings.queue.url.file() {
        let bytes_max = Some(settings.queue.bytes_max).filter(|bytes| *bytes > 0);
        places.push(Place { about: "queue", path: path.to_owned(), known: vec![queue::FILE_SCHEMA], bytes_max });
    }
    let steps = |part: SchemaPart| (part.name, part.file_steps);
    if let Some(path) = settings.store.url.file() {
        let known = SCHEMA_PARTS.into_iter().chain([registry::SCHEMA_PART]).map(steps).collect();
        places.push(Place { about: "store", path: path.to_owned(), known, bytes_max: None });
    }
    if let Some(path) = settings.store.url.history().filter(|_| settings.history.enabled) {
        places.push(Place { about: "history", path, known: vec![steps(HISTORY_SCHEMA_PART)], bytes_max: None });
    }
    places
}

/// What is found at `place`. Blocks.
pub(super) fn look(place: &Place) -> Vec<Finding> {
    let Place { about, path, .. } = place;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let folder = whole.parent().unwrap_or(Path::new("/"));
    if let Err(error) = std::fs::read_dir(folder).map(drop) {
        let mend = "make the folder, owned by hikyaku's user, or name another in the settings";
        return vec![Finding::error(about, format!("the folder {} cannot be read: {error}", folder.display()), mend)];
    }
    let mut findings = Vec::new();
    let file = std::fs::metadata(&whole).ok();
    findings.extend(of_rights(about, &whole, folder, file.is_some()));
    findings.extend(of_owner(about, &whole, file.as_ref()));
    findings.extend(of_disk(place, &whole, folder, file.as_ref()));
    findings.extend(of_schema(place, &whole, file.is_some()));
    if findings.is_empty() {
        findings.push(match file {
            Some(_) => Finding::ok(about, format!("{} can be read and written", path.display())),
            None => Finding::ok(about, format!("{} is not there, and can be made", path.display()))
                .hint("`hikyaku serve` makes it"),
        });
    }
    findings
}

/// Both must be writable: SQLite makes and removes files beside one.
fn of_rights(about: &'static str, file: &Path, folder: &Path, is_there: bool) -> Option<Finding> {
    let looked = [(folder, Access::WRITE_OK | Access::EXEC_OK), (file, Access::READ_OK | Access::WRITE_OK)];
    let (refused, why) = looked
        .into_iter()
        .take(if is_there { 2 } else { 1 })
        .find_map(|(path, access)| Some((path, rustix::fs::access(path, access).err()?)))?;
    let user = rustix::process::geteuid().as_raw();
    let mend = if why == rustix::io::Errno::ROFS {
        "its file system is mounted to be read only: mount it anew, or name another place in the settings. A disk in trouble is \
         mounted so by itself: see `dmesg`"
            .to_owned()
    } else {
        format!("let hikyaku's user own it (`chown`); this check ran as the user {user}, and must run as hikyaku's")
    };
    Some(Finding::error(about, format!("{} cannot be written: {why}", refused.display()), mend))
}

/// Who is root may do all, and so sees nothing of what another may not.
fn of_owner(about: &'static str, path: &Path, file: Option<&Metadata>) -> Option<Finding> {
    let (owner, user) = (file?.uid(), rustix::process::geteuid().as_raw());
    (owner != user).then(|| {
        Finding::warning(
            about,
            format!("{} belongs to the user {owner}, and this check runs as the user {user}", path.display()),
            format!(
                "run it as the user that hikyaku runs as (`sudo -u '#{owner}' hikyaku check`), to know what that may do; if that is \
                 {user}, `chown` the file"
            ),
        )
    })
}

fn of_disk(place: &Place, file: &Path, folder: &Path, metadata: Option<&Metadata>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let here = if metadata.is_some() { file } else { folder };
    let Ok(disk) = rustix::fs::statfs(here) else { return findings };
    findings.extend(of_kind(place.about, here, disk.f_type));
    let free = disk.f_bavail.saturating_mul(u64::try_from(disk.f_bsize).unwrap_or(0));
    let has = metadata.map_or(0, Metadata::len);
    let wanted = place.bytes_max.map(|bytes_max| bytes_max.saturating_sub(has));
    findings.extend(of_room(place.about, here, free, wanted));
    findings
}

/// Whether `free` bytes are enough, where the file may grow by those `wanted`, if that is known.
fn of_room(about: &'static str, here: &Path, free: u64, wanted: Option<u64>) -> Option<Finding> {
    let left = format!("the disk of {} has {} MiB left", here.display(), free / MIB);
    if free < FREE_BYTES_MIN {
        let full = match about {
            "queue" => "events are answered 503",
            "store" => "webhooks cannot be changed, and dead letters wait in the queue",
            _ => "the history has a gap",
        };
        return Some(Finding::error(about, left, format!("free some: when it is full, {full}")));
    }
    let wanted = wanted.filter(|wanted| *wanted > free)?;
    let what = format!("{left}, and the queue may grow by {} MiB", wanted / MIB);
    let mend = "lower queue.bytes_max, so that the queue is full before the disk is, which others use too";
    Some(Finding::warning(about, what, mend))
}

/// A file system on which a queue does not last, or whose locks may not hold (sqlite.org/howtocorrupt.html).
fn of_kind(about: &'static str, here: &Path, kind: i64) -> Option<Finding> {
    let at = here.display();
    // Numbers: statfs(2), linux/magic.h. As 32 bits: some have the highest set.
    let kind = kind & 0xffff_ffff;
    let over_network = match kind {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9p",
        0x5346_414f => "AFS",
        0x6573_5546 => "FUSE",
        _ => "",
    };
    match (over_network, kind) {
        ("", 0x0102_1994 | 0x8584_58f6) => Some(Finding::warning(
            about,
            format!("{at} lies in memory (tmpfs): what is in it is gone when the machine restarts"),
            "name a place on a disk in the settings",
        )),
        ("", 0x794c_7630) => Some(Finding::warning(
            about,
            format!("{at} lies in a container's own layer (overlay): what is in it goes with the container"),
            "put it on a volume",
        )),
        ("", _) => None,
        (name, _) => Some(Finding::error(
            about,
            format!(
                "{at} lies on {name}, where locks and fsync may not hold: two hikyaku may work on one file, and damage it"
            ),
            "name a place on a disk of this machine; for several machines there are RabbitMQ and PostgreSQL (docs/scaling.md)",
        )),
    }
}

fn of_schema(place: &Place, path: &Path, is_there: bool) -> Option<Finding> {
    if !is_there {
        return None;
    }
    let parts = match sqlite::look(path) {
        Ok(parts) => parts,
        Err(error) => return Some(Finding::of_error(place.about, &error)),
    };
    let known = |part: &str| place.known.iter().find(|known| known.0 == part).map(|known| known.1);
    let newer = newer(&format!("the file {}", path.display()), &parts, known);
    if newer.is_some() {
        return newer;
    }
    let is_older = parts.iter().any(|(part, steps)| known(part).is_some_and(|known| *steps < known));
    is_older.then(|| {
        Finding::ok(place.about, format!("{} is of an older hikyaku", path.display())).hint(
            "the next start of `serve` brings it up to date (of one that runs, the log says why it did not), after which an older one refuses it: docs/upgrading.md",
        )
    })
}

/// That some of the `parts` of `place`, each with its steps, have been through more of them than are `known`, or are not known at all.
pub(super) fn newer(place: &str, parts: &[(String, usize)], known: impl Fn(&str) -> Option<usize>) -> Option<Finding> {
    let in_words = |(part, steps): &(String, usize)| {
        let known = known(part).map_or("none".to_owned(), |known| known.to_string());
        format!("its {part} has schema {steps}, this one knows {known}")
    };
    let newer = parts.iter().filter(|(part, steps)| known(part).is_none_or(|known| *steps > known));
    let newer: Vec<_> = newer.map(in_words).collect();
    let mend = "start the newer version again; going back needs a copy from before: docs/upgrading.md";
    let what = || format!("{place} was written by a newer hikyaku: {}", newer.join("; "));
    (!newer.is_empty()).then(|| Finding::error("store", what(), mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Level;

    #[test]
    fn file_systems_on_which_a_queue_is_not_safe_are_named() {
        let kind = |number| of_kind("queue", Path::new("/q"), number);
        for (number, level, name) in [
            (0x6969, Level::Error, "NFS"),
            (i64::from(0xfe53_4d42_u32.cast_signed()), Level::Error, "SMB"),
            (0x0102_1994, Level::Warning, "memory"),
            (0x794c_7630, Level::Warning, "container"),
        ] {
            let finding = kind(number).expect("found");
            assert!(finding.level == level && finding.what.contains(name), "{finding:?}");
        }
        assert_eq!(kind(0xef53), None, "ext4");
        assert_eq!(kind(0x5846_5342), None, "XFS");
    }

    #[test]
    fn of_a_newer_hikyaku_each_newer_part_is_told_with_both_versions() {
        let known = |part: &str| {
            [("registry", 3), ("latest", 1)].into_iter().find(|known| known.0 == part).map(|known| known.1)
        };
        let parts = |parts: &[(&str, usize)]| {
            parts.iter().map(|(part, steps)| ((*part).to_owned(), *steps)).collect::<Vec<_>>()
        };
        assert_eq!(newer("it", &parts(&[("latest", 1), ("registry", 2)]), known), None);
        let told = newer("it", &parts(&[("latest", 1), ("registry", 4), ("letters", 2)]), known).expect("newer").what;
        let words = "its registry has schema 4, this one knows 3; its letters has schema 2, this one knows none";
        assert_eq!(told, format!("it was written by a newer hikyaku: {words}"));
    }

    #[test]
    fn a_queue_that_may_outgrow_its_disk_is_told_before_it_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |bytes_max| Place {
            about: "queue",
            path: folder.path().join("queue.db"),
            known: vec![queue::FILE_SCHEMA],
            bytes_max,
        };
        let told = |bytes_max| look(&place(bytes_max)).iter().any(|finding| finding.what.contains("may grow"));
        assert!(told(Some(1 << 50)));
        assert!(!told(Some(1 << 20)));
        assert!(!told(None), "who sets no limit wants none");
    }

    #[test]
    fn of_a_disk_that_is_nearly_full_it_is_told_what_does_not_work_then() {
        for (about, words) in [
            ("queue", "events are answered 503"),
            ("store", "webhooks cannot be changed, and dead letters wait in the queue"),
            ("history", "the history has a gap"),
        ] {
            let finding = of_room(about, Path::new("/f"), FREE_BYTES_MIN - 1, None).expect("found");
            let mend = Some(format!("free some: when it is full, {words}"));
            assert!(finding.level == Level::Error && finding.mend == mend, "{finding:?}");
        }
        assert_eq!(of_room("store", Path::new("/f"), FREE_BYTES_MIN, None), None);
    }
}
