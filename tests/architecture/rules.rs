//! The rules: each a function from a file's path and text to its faults, `file:line: what is wrong; what to do`.

use super::layers::{Layers, module_of};
use super::source::{Token, climbs_to_the_root, is_word, last_line_of_function, names_under, production, tokens};

/// Lines of production code that a file may have.
pub(crate) const FILE_LINES_MAX: usize = 400;
/// Lines that a function may have, from `fn` to its closing brace.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
/// Modules without clock, chance, I/O, logging or waiting.
pub(crate) const PURE_MODULES: [&str; 2] = ["model", "decide"];
/// Words that have no place in pure code.
pub(crate) const IMPURE_WORDS: [&str; 18] = [
    "async",
    "await",
    "Instant",
    "SystemTime",
    "tokio",
    "tracing",
    "fastrand",
    "rand",
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "rusqlite",
];
/// Modules of `std` that have no place in pure code.
pub(crate) const IMPURE_STD: [&str; 4] = ["env", "fs", "process", "thread"];
/// Names that say nothing about what is inside.
pub(crate) const VAGUE_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "managers", "common"];

/// A module imports only from the layers before its own, and stands in the list.
pub(crate) fn layer_faults(path: &str, text: &str, layers: &Layers) -> Vec<String> {
    let Some(module) = module_of(path) else { return Vec::new() };
    let Some(own) = layers.of(module) else {
        let what = format!("`{module}` stands in no layer; add it to the `layers` block of ARCHITECTURE.md");
        return vec![fault(path, 1, &what)];
    };
    let code = tokens(production(path, text));
    let imports = names_under(&code, "crate").into_iter().filter(|name| name.text != module);
    let mut faults: Vec<String> = imports
        .filter_map(|Token { line, text: name }| {
            let what = match layers.of(name) {
                Some(layer) if layer < own => return None,
                Some(layer) if layer == own => format!(
                    "`{module}` imports its neighbour `{name}`; move what they share to a layer below, or pass it in"
                ),
                Some(_) => format!(
                    "`{module}` imports `{name}` from a layer above; move the code, or let `{name}` pass in what is needed"
                ),
                None => format!("`crate::{name}` is no module of the layers; name the module that defines it"),
            };
            Some(fault(path, line, &what))
        })
        .collect();
    faults.extend(climbs_to_the_root(path, &code).into_iter().map(|line| {
        fault(path, line, "`super` climbs out of the module, past the layers; write the path from `crate::`")
    }));
    faults
}

/// The pure modules have no clock, chance, I/O, logging or waiting.
pub(crate) fn purity_faults(path: &str, text: &str) -> Vec<String> {
    let Some(module) = module_of(path).filter(|module| PURE_MODULES.contains(module)) else { return Vec::new() };
    let code = tokens(production(path, text));
    let words = code.iter().filter(|token| IMPURE_WORDS.contains(&token.text)).copied();
    let of_std = names_under(&code, "std").into_iter().filter(|name| IMPURE_STD.contains(&name.text));
    words
        .chain(of_std)
        .map(|Token { line, text: word }| {
            fault(
                path,
                line,
                &format!("`{word}` in `{module}`, which is pure; do it in a shell and pass in its result"),
            )
        })
        .collect()
}

/// A file says what it is before any code.
pub(crate) fn header_faults(path: &str, text: &str) -> Vec<String> {
    let mut lines = text.lines().zip(1..).skip_while(|(line, _)| line.starts_with("#![forbid"));
    match lines.next() {
        Some((line, _)) if line.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty()) => Vec::new(),
        first => {
            let line = first.map_or(1, |(_, number)| number);
            vec![fault(path, line, "no header; open with `//!` lines: what this is, where data comes from and goes")]
        }
    }
}

/// A file is short enough to be read at one sitting.
pub(crate) fn file_length_faults(path: &str, text: &str) -> Vec<String> {
    let lines = production(path, text).lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what =
        format!("{lines} lines before the tests, and {FILE_LINES_MAX} are allowed; give one of its duties a file");
    vec![fault(path, FILE_LINES_MAX + 1, &what)]
}

/// A function does one thing.
pub(crate) fn function_length_faults(path: &str, text: &str) -> Vec<String> {
    let code = tokens(production(path, text));
    code.windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0].text == "fn" && is_word(pair[1].text))
        .filter_map(|(at, pair)| {
            let lines = last_line_of_function(&code[at..]) + 1 - pair[0].line;
            let name = pair[1].text;
            let what =
                format!("`{name}` has {lines} lines, and {FUNCTION_LINES_MAX} are allowed; give its steps names");
            (lines > FUNCTION_LINES_MAX).then(|| fault(path, pair[0].line, &what))
        })
        .collect()
}

/// A name says what is inside.
pub(crate) fn name_faults(path: &str, text: &str) -> Vec<String> {
    let is_vague = |name: &str| name.split('_').any(|part| VAGUE_NAMES.contains(&part));
    let vague = |line, name: &str| fault(path, line, &format!("`{name}` says nothing; name it after what is inside"));
    let in_path = path.trim_end_matches(".rs").split('/').filter(|name| is_vague(name)).map(|name| vague(1, name));
    let code = tokens(text);
    let modules = code.windows(2).filter(|pair| pair[0].text == "mod" && is_vague(pair[1].text));
    in_path.chain(modules.map(|pair| vague(pair[1].line, pair[1].text))).collect()
}

/// Every channel has a limit.
pub(crate) fn limitless_faults(path: &str, text: &str) -> Vec<String> {
    // `Bound::Unbounded` is the end of a range and no channel.
    let is_channel = |word: &str| word.to_lowercase().starts_with("unbounded") && word != "Unbounded";
    tokens(text)
        .into_iter()
        .filter(|token| is_channel(token.text))
        .map(|Token { line, text: word }| {
            fault(path, line, &format!("`{word}` has no limit; use a bounded one, its limit a constant with a name"))
        })
        .collect()
}

/// One decider: outside `decide`, one file asks for the next step, and nobody works out a wait by himself (promise 4).
pub(crate) fn decider_faults(path: &str, text: &str) -> Vec<String> {
    const ASKED_IN: &str = "src/deliver/outlook.rs";
    if path.starts_with("src/decide/") {
        return Vec::new();
    }
    let is_decided_here = |word: &str| match word {
        "retry_wait" | "park_wait" => true,
        "next_step" => path != ASKED_IN,
        _ => false,
    };
    let code = tokens(production(path, text));
    code.into_iter()
        .filter(|token| is_decided_here(token.text))
        .map(|Token { line, text: word }| {
            fault(
                path,
                line,
                &format!("`{word}` is asked in {ASKED_IN} alone, through `decide::next_step`; act on its answer"),
            )
        })
        .collect()
}

fn fault(path: &str, line: usize, what: &str) -> String {
    format!("{path}:{line}: {what}")
}
