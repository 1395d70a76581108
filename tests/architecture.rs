//! The rules of the house that a machine can check: layers, purity, headers, sizes, names, limits.
//!
//! The layers are read from ARCHITECTURE.md, so the printed list is the tested one. Every rule is a function from a file's
//! path and text to its faults (`file:line: what is wrong; what to do`), and stands here twice: once over the whole tree,
//! once over a bad example, which shows that it can fail.
//!
//! Sources are read as tokens, so comments and string literals never count. Production code is what stands before the
//! `#[cfg(test)]` module that ends a file; a file of tests (`tests.rs`, or in a folder `tests`) has none. This is no
//! compiler: paths made by macros, and a `super` inside a group, are not followed.

use std::fs;
use std::path::Path;

/// Lines of production code that a file may have.
const FILE_LINES_MAX: usize = 400;
/// Lines that a function may have, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Modules without clock, chance, I/O, logging or waiting.
const PURE_MODULES: [&str; 2] = ["model", "decide"];
/// Words that have no place in pure code.
const IMPURE_WORDS: [&str; 18] = [
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
const IMPURE_STD: [&str; 4] = ["env", "fs", "process", "thread"];
/// Names that say nothing about what is inside.
const VAGUE_NAMES: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "managers", "common"];

// ---- the rules ----

/// A module imports only from the layers before its own, and stands in the list.
fn layer_faults(path: &str, text: &str, layers: &Layers) -> Vec<String> {
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
fn purity_faults(path: &str, text: &str) -> Vec<String> {
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
fn header_faults(path: &str, text: &str) -> Vec<String> {
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
fn file_length_faults(path: &str, text: &str) -> Vec<String> {
    let lines = production(path, text).lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what =
        format!("{lines} lines before the tests, and {FILE_LINES_MAX} are allowed; give one of its duties a file");
    vec![fault(path, FILE_LINES_MAX + 1, &what)]
}

/// A function does one thing.
fn function_length_faults(path: &str, text: &str) -> Vec<String> {
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
fn name_faults(path: &str, text: &str) -> Vec<String> {
    let is_vague = |name: &str| name.split('_').any(|part| VAGUE_NAMES.contains(&part));
    let vague = |line, name: &str| fault(path, line, &format!("`{name}` says nothing; name it after what is inside"));
    let in_path = path.trim_end_matches(".rs").split('/').filter(|name| is_vague(name)).map(|name| vague(1, name));
    let code = tokens(text);
    let modules = code.windows(2).filter(|pair| pair[0].text == "mod" && is_vague(pair[1].text));
    in_path.chain(modules.map(|pair| vague(pair[1].line, pair[1].text))).collect()
}

/// Every channel has a limit.
fn limitless_faults(path: &str, text: &str) -> Vec<String> {
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
fn decider_faults(path: &str, text: &str) -> Vec<String> {
    const ASKED_IN: &str = "src/deliver/pursuit.rs";
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

// ---- the list of layers ----

/// The modules of each layer, the lowest first.
struct Layers(Vec<Vec<String>>);

impl Layers {
    /// Reads the block that begins with a line "```layers": one layer a line, its modules separated by commas.
    fn read(architecture: &str) -> Self {
        let block = architecture.lines().skip_while(|line| *line != "```layers").skip(1);
        let layers = block.take_while(|line| *line != "```");
        Self(layers.map(|layer| layer.split(',').map(|module| module.trim().to_owned()).collect()).collect())
    }

    /// The layer that `module` is in, counted from the lowest.
    fn of(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|layer| layer.iter().any(|name| name == module))
    }
}

/// `queue` for `src/queue/mod.rs`, `src/queue/sqlite.rs` and `src/queue.rs`; none for the crate's roots and for tests.
fn module_of(path: &str) -> Option<&str> {
    let module = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (module != "lib" && module != "main").then_some(module)
}

// ---- reading sources ----

/// What stands before the `#[cfg(test)]` module that ends the file; nothing of a file of tests.
fn production<'a>(path: &str, text: &'a str) -> &'a str {
    if path.starts_with("src/") && (path.ends_with("/tests.rs") || path.contains("/tests/")) {
        return "";
    }
    let mut lines = text.split_inclusive('\n');
    let mut bytes = 0;
    while let Some(line) = lines.next() {
        let opens_tests = || lines.clone().find(|next| !next.starts_with("#[")).is_some_and(opens_module);
        if line.trim_end() == "#[cfg(test)]" && line.starts_with('#') && opens_tests() {
            break;
        }
        bytes += line.len();
    }
    &text[..bytes]
}

fn opens_module(line: &str) -> bool {
    line.split_whitespace().any(|word| word == "mod") && line.trim_end().ends_with('{')
}

/// A word or a sign of the source; `::` is one sign.
#[derive(Clone, Copy)]
struct Token<'a> {
    line: usize,
    text: &'a str,
}

/// The source without white space, comments, strings and characters.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut found, mut rest, mut line) = (Vec::new(), source, 1);
    while !rest.is_empty() {
        let (bytes, is_code) = measure(rest);
        let (text, after) = rest.split_at(bytes);
        if is_code {
            found.push(Token { line, text });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// The bytes of what `rest` begins with, and whether it is code.
fn measure(rest: &str) -> (usize, bool) {
    let word = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), false)
    } else if rest.starts_with("/*") {
        (block_comment(rest), false)
    } else if let Some(bytes) = string(rest).or_else(|| character(rest)) {
        (bytes, false)
    } else if word > 0 {
        (word, true)
    } else if rest.starts_with("::") {
        (2, true)
    } else {
        rest.chars().next().map_or((0, false), |sign| (sign.len_utf8(), !sign.is_whitespace()))
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word(text: &str) -> bool {
    text.starts_with(is_of_word)
}

/// The bytes of a block comment, whose likes may nest.
fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    rest.len()
}

/// The bytes of a string literal of any kind: `"`, `b"`, `c"`, `r#"`, `br"`.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    let hashes = if rest[..prefix].ends_with('r') { rest[prefix..].find(|c| c != '#')? } else { 0 };
    let start = prefix + hashes + 1;
    if !rest[prefix + hashes..].starts_with('"') {
        return None;
    }
    if rest[..prefix].ends_with('r') {
        let closing = format!("\"{}", "#".repeat(hashes));
        return Some(rest[start..].find(&closing).map_or(rest.len(), |bytes| start + bytes + closing.len()));
    }
    let mut characters = rest[start..].char_indices();
    while let Some((bytes, c)) = characters.next() {
        match c {
            '"' => return Some(start + bytes + 1),
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    Some(rest.len())
}

/// The bytes of a character literal; none for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let mut characters = inside.char_indices();
    if characters.next()?.1 == '\\' {
        let (escaped, _) = characters.next()?;
        return inside[escaped + 1..].find('\'').map(|bytes| escaped + bytes + 3);
    }
    characters.next().filter(|(_, closing)| *closing == '\'').map(|(bytes, _)| bytes + 2)
}

/// The names that follow `root::` anywhere, also those in a group: `a` and `b` of `root::{a::C, b}`.
fn names_under<'a>(code: &[Token<'a>], root: &str) -> Vec<Token<'a>> {
    let starts = code.windows(3).enumerate().filter(|(_, start)| start[0].text == root && start[1].text == "::");
    starts
        .flat_map(|(at, start)| if start[2].text == "{" { names_of_group(&code[at + 2..]) } else { vec![start[2]] })
        .collect()
}

/// The names at the head of each path in the group that `code` begins with.
fn names_of_group<'a>(code: &[Token<'a>]) -> Vec<Token<'a>> {
    let (mut names, mut depth) = (Vec::new(), 0);
    for pair in code.windows(2) {
        match pair[0].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(pair[0].text, "{" | ",") && pair[1].text != "}" {
            names.push(pair[1]);
        }
    }
    names
}

/// The lines where a chain of `super::` reaches the crate's root.
fn climbs_to_the_root(path: &str, code: &[Token<'_>]) -> Vec<usize> {
    let depth = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').skip(1).count();
    let chain_at = |at: usize| code[at..].chunks(2).take_while(|link| link[0].text == "super").count();
    let is_head = |at: usize| code[at].text == "super" && !(at >= 2 && code[at - 2].text == "super");
    let climbs = |at: &usize| is_head(*at) && chain_at(*at) >= depth;
    (0..code.len()).filter(climbs).map(|at| code[at].line).collect()
}

/// The line on which the function ends that `code` begins with.
fn last_line_of_function(code: &[Token<'_>]) -> usize {
    let (mut brackets, mut braces) = (0, 0);
    for token in code {
        match token.text {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            "{" => braces += 1,
            "}" => braces -= 1,
            _ => {}
        }
        let has_ended = token.text == "}" || token.text == ";";
        if has_ended && braces == 0 && brackets == 0 {
            return token.line;
        }
    }
    code.last().map_or(0, |token| token.line)
}

// ---- the tree ----

struct File {
    path: String,
    text: String,
}

fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(full).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// Every Rust source under `folder`, in a fixed order.
fn sources(folder: &str) -> Vec<File> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(full).unwrap_or_else(|error| panic!("{folder} cannot be listed: {error}"));
    let mut entries: Vec<(String, bool)> = entries
        .flatten()
        .map(|entry| (format!("{folder}/{}", entry.file_name().to_string_lossy()), entry.path().is_dir()))
        .collect();
    entries.sort();
    let files = |(path, is_folder): (String, bool)| match is_folder {
        true => sources(&path),
        false if path.ends_with(".rs") => vec![File { text: read(&path), path }],
        false => Vec::new(),
    };
    entries.into_iter().flat_map(files).collect()
}

fn assert_none(files: &[File], rule: impl Fn(&str, &str) -> Vec<String>) {
    let faults: Vec<String> = files.iter().flat_map(|file| rule(&file.path, &file.text)).collect();
    assert!(faults.is_empty(), "{} places break the rule:\n{}", faults.len(), faults.join("\n"));
}

fn all_sources() -> Vec<File> {
    sources("src").into_iter().chain(sources("tests")).collect()
}

#[test]
fn every_module_imports_only_from_the_layers_below_it() {
    let layers = Layers::read(&read("ARCHITECTURE.md"));
    assert_none(&sources("src"), |path, text| layer_faults(path, text, &layers));
}

#[test]
fn pure_modules_are_pure() {
    assert_none(&sources("src"), purity_faults);
}

#[test]
fn every_source_opens_with_a_header() {
    assert_none(&all_sources(), header_faults);
}

#[test]
fn files_are_short() {
    assert_none(&sources("src"), file_length_faults);
}

#[test]
fn functions_are_short() {
    assert_none(&sources("src"), function_length_faults);
}

#[test]
fn names_say_what_is_inside() {
    assert_none(&all_sources(), name_faults);
}

#[test]
fn no_channel_is_unbounded() {
    assert_none(&all_sources(), limitless_faults);
}

#[test]
fn a_deliverys_fate_is_decided_in_one_place() {
    assert_none(&sources("src"), decider_faults);
    let asks = |file: &File| tokens(production(&file.path, &file.text)).iter().any(|token| token.text == "next_step");
    assert!(sources("src/deliver").iter().any(asks), "nobody asks the decider");
}

#[test]
fn the_walk_reads_folders_within_folders() {
    let paths: Vec<String> = all_sources().into_iter().map(|file| file.path).collect();
    for path in ["src/lib.rs", "src/model/mod.rs", "tests/architecture.rs"] {
        assert!(paths.iter().any(|found| found == path), "{path} is missing among {paths:?}");
    }
}

// ---- each rule can fail ----

#[test]
fn a_second_decider_is_found() {
    let faults = decider_faults("src/deliver/engine.rs", "//! x\nfn f() {\n    let due = retry_wait(&[], 1);\n}\n");
    assert_fault(&faults, "src/deliver/engine.rs:3", "retry_wait");
    let faults = decider_faults("src/queue/mod.rs", "//! x\nfn f() { next_step() }\n");
    assert_fault(&faults, "src/queue/mod.rs:2", "next_step");
}

fn three_layers() -> Layers {
    Layers::read("words\n```layers\nmodel\nqueue, registry\napp\n```\nignored, too\n")
}

/// Asserts that there is one fault, at `place`, whose words contain `words`.
#[track_caller]
fn assert_fault(faults: &[String], place: &str, words: &str) {
    assert_eq!(faults.len(), 1, "one fault is expected: {faults:?}");
    assert!(faults[0].starts_with(&format!("{place}: ")) && faults[0].contains(words), "{}", faults[0]);
}

#[test]
fn an_import_from_above_is_found() {
    let faults = layer_faults("src/queue/sqlite.rs", "//! x\nuse crate::app::App;\n", &three_layers());
    assert_fault(&faults, "src/queue/sqlite.rs:2", "from a layer above");
}

#[test]
fn an_import_of_a_neighbour_is_found_in_the_midst_of_code() {
    let faults = layer_faults("src/queue.rs", "fn f() {\n    crate::registry::load();\n}\n", &three_layers());
    assert_fault(&faults, "src/queue.rs:2", "neighbour");
}

#[test]
fn an_import_is_found_in_a_group_over_several_lines() {
    let text = "use crate::{\n    model::{Event, app},\n    registry::Registry,\n};\n";
    assert_fault(&layer_faults("src/queue/mod.rs", text, &three_layers()), "src/queue/mod.rs:3", "`registry`");
}

#[test]
fn an_import_through_super_is_found() {
    let text = "use super::Queue;\nuse super::super::app::App;\n";
    assert_fault(&layer_faults("src/queue/sqlite.rs", text, &three_layers()), "src/queue/sqlite.rs:2", "`super`");
    assert_fault(
        &layer_faults("src/queue/mod.rs", "use super::app;\n", &three_layers()),
        "src/queue/mod.rs:1",
        "`super`",
    );
}

#[test]
fn an_import_of_what_is_no_module_is_found() {
    assert_fault(&layer_faults("src/app.rs", "use crate::Event;\n", &three_layers()), "src/app.rs:1", "no module");
}

#[test]
fn a_module_that_is_not_in_the_list_is_found() {
    assert_fault(&layer_faults("src/extra/mod.rs", "//! x\n", &three_layers()), "src/extra/mod.rs:1", "no layer");
}

#[test]
fn an_import_is_found_behind_a_test_only_item_that_does_not_end_the_file() {
    let text = "#[cfg(test)]\nuse std::fs;\n#[cfg(test)]\nmod tests;\nuse crate::app::App;\n";
    assert_fault(&layer_faults("src/queue/mod.rs", text, &three_layers()), "src/queue/mod.rs:5", "above");
}

#[test]
fn imports_from_below_from_itself_in_words_and_in_tests_are_fine() {
    let text = r##"//! See `crate::app`.
use crate::{model::Event, queue::sqlite};
/* crate::app /* crate::app */ crate::app */
fn f<'a>(quote: char) -> &'a str { if quote == '"' || quote == '\'' { "\" crate::app" } else { r#"" crate::app"# } }
#[cfg(test)]
#[expect(clippy::panic, reason = "tests")]
mod tests {
    use crate::app::App;
}
"##;
    assert_eq!(layer_faults("src/queue/mod.rs", text, &three_layers()), Vec::<String>::new());
    assert_eq!(layer_faults("src/lib.rs", "use crate::app::App;\n", &three_layers()), Vec::<String>::new());
    assert_eq!(layer_faults("src/queue/tests.rs", "use crate::app::App;\n", &three_layers()), Vec::<String>::new());
}

#[test]
fn everything_impure_is_found_in_a_pure_module() {
    let bad = [
        "async fn f() {}",
        "fn f() { g().await }",
        "use std::time::{Duration, Instant};",
        "use std::time::SystemTime;",
        "use tokio::sync::Mutex;",
        "fn f() { tracing::info!(\"x\") }",
        "fn f() -> f64 { fastrand::f64() }",
        "use rand::Rng;",
        "use std::env;",
        "use std::{collections::BTreeMap, fs::File};",
        "use std::net::{IpAddr, TcpStream};",
        "fn f() { println!(\"x\") }",
    ];
    for line in bad {
        assert_fault(
            &purity_faults("src/decide/retry.rs", &format!("//! x\n{line}\n")),
            "src/decide/retry.rs:2",
            "pure",
        );
    }
}

#[test]
fn purity_is_asked_of_pure_modules_only() {
    assert_eq!(purity_faults("src/clock/mod.rs", "use std::time::Instant;\n"), Vec::<String>::new());
    let text = "//! tokio\nuse std::{net::IpAddr, time::Duration};\nuse crate::model::Random;\n";
    assert_eq!(purity_faults("src/decide/retry.rs", text), Vec::<String>::new());
}

#[test]
fn a_file_without_a_header_is_found() {
    for text in ["", "//!\nfn f() {}\n", "// words\n//! words\n", "use std::fs;\n"] {
        assert_fault(&header_faults("src/a.rs", text), "src/a.rs:1", "no header");
    }
    assert_fault(&header_faults("src/a.rs", "#![forbid(unsafe_code)]\nfn f() {}\n"), "src/a.rs:2", "no header");
    assert_eq!(header_faults("src/a.rs", "#![forbid(unsafe_code)]\n//! Words.\n"), Vec::<String>::new());
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let (longest, tests) = ("\n".repeat(FILE_LINES_MAX), "#[cfg(test)]\nmod tests {\n}\n");
    assert_eq!(file_length_faults("src/a.rs", &format!("{longest}{tests}")), Vec::<String>::new());
    assert_fault(&file_length_faults("src/a.rs", &format!("\n{longest}{tests}")), "src/a.rs:401", "401 lines");
}

#[test]
fn a_function_that_is_too_long_is_found() {
    let function =
        |lines: usize| format!("pub(crate) fn f(\n    a: [u8; 2],\n) {{\n{}}}\n", "    g();\n".repeat(lines - 4));
    assert_eq!(function_length_faults("src/a.rs", &function(FUNCTION_LINES_MAX)), Vec::<String>::new());
    let methods = format!("trait T {{\n    fn short(&self);\n    async {}}}\n", function(FUNCTION_LINES_MAX + 1));
    assert_fault(&function_length_faults("src/a.rs", &methods), "src/a.rs:3", "`f` has 71 lines");
}

#[test]
fn a_name_that_says_nothing_is_found() {
    assert_fault(&name_faults("src/queue/util.rs", ""), "src/queue/util.rs:1", "`util`");
    assert_fault(&name_faults("tests/it/common/mod.rs", ""), "tests/it/common/mod.rs:1", "`common`");
    assert_fault(&name_faults("src/a.rs", "\nmod text_helpers {}\n"), "src/a.rs:2", "`text_helpers`");
    assert_eq!(name_faults("src/a.rs", "mod utility_poles;\n"), Vec::<String>::new());
}

#[test]
fn an_unbounded_channel_is_found() {
    for line in ["use tokio::sync::mpsc::unbounded_channel;", "type A = UnboundedSender<u8>;", "flume::unbounded();"] {
        assert_fault(&limitless_faults("src/a.rs", &format!("\n{line}\n")), "src/a.rs:2", "no limit");
    }
    assert_eq!(limitless_faults("src/a.rs", "// unbounded\nuse std::ops::Bound::Unbounded;\n"), Vec::<String>::new());
}
