//! `deploy/Dockerfile` as a list of steps, and `.dockerignore` as Docker reads it, for the tests of the image.

use crate::support::text;

/// An instruction of the Dockerfile, such as `RUN`, and what it says, its continued lines joined.
pub(crate) struct Step {
    pub(crate) instruction: String,
    pub(crate) says: String,
}

/// Every step, in order.
pub(crate) fn steps() -> Vec<Step> {
    let text = text("deploy/Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let steps = joined.lines().filter_map(|line| line.trim().split_once(' '));
    steps
        .map(|(instruction, says)| Step { instruction: instruction.to_owned(), says: says.trim().to_owned() })
        .collect()
}

/// What the steps of one instruction say.
pub(crate) fn said_by(instruction: &str) -> Vec<String> {
    steps().into_iter().filter(|step| step.instruction == instruction).map(|step| step.says).collect()
}

/// What the last step of one instruction says as a JSON array, such as the command.
pub(crate) fn words_of(instruction: &str) -> Vec<String> {
    let says = said_by(instruction).pop().unwrap_or_else(|| panic!("{instruction} is not in the Dockerfile"));
    let array = says.find('[').unwrap_or_else(|| panic!("{instruction} is no JSON array: {says}"));
    serde_json::from_str(&says[array..]).unwrap_or_else(|error| panic!("{instruction} {says}: {error}"))
}

/// Whether Docker hands the file at `path` of the tree to a build: the last line of `.dockerignore` that matches it, or a folder
/// that it is in, decides.
pub(crate) fn is_handed_over(path: &str) -> bool {
    let ignore = text(".dockerignore");
    let mut is_handed_over = true;
    for line in ignore.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, takes_back) = line.strip_prefix('!').map_or((line, false), |pattern| (pattern, true));
        if matches(pattern.trim_matches('/'), path) {
            is_handed_over = takes_back;
        }
    }
    is_handed_over
}

/// Whether `pattern` matches the path or a folder that it is in; `*` stands for anything but a slash.
fn matches(pattern: &str, path: &str) -> bool {
    let (wanted, had): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    wanted.len() <= had.len() && wanted.iter().zip(had).all(|(wanted, had)| matches_name(wanted, had))
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    (0..=rest.len()).any(|end| rest.is_char_boundary(end) && matches_name(after, &rest[end..]))
}
