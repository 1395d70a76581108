//! Who types a command, for what is noted of who did something: the user's name, and the machine's.

/// The person at the shell, such as `ayuko at bot-host`. It is what the system says, and no proof.
pub(super) fn operator() -> String {
    let name =
        ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|name| is_name(name)));
    let name = name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{name} at {}", rustix::system::uname().nodename().to_string_lossy())
}

/// Whether a variable has what a user may be called: it is shown to others.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_types_has_a_name_and_a_machine() {
        let (name, machine) = operator().split_once(" at ").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("both");
        assert!(!name.is_empty() && !machine.is_empty());
        assert!(is_name("ayuko-2.x_y") && !is_name("") && !is_name("a\nb") && !is_name(&"x".repeat(65)));
    }
}
