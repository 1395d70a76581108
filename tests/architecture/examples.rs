//! Each rule over a bad example: it can fail. And over good ones: it does not cry wolf.

use super::dependencies::{Lists, Package};
use super::layers::Layers;
use super::rules::{
    FILE_LINES_MAX, FUNCTION_LINES_MAX, decider_faults, file_length_faults, function_length_faults, header_faults,
    layer_faults, limitless_faults, name_faults, purity_faults,
};

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

#[test]
fn a_dependency_is_found_whose_licence_name_or_source_is_not_allowed() {
    let lists = Lists::read(
        "licenses.allow = [\"MIT\", \"Zlib\"]\nbans.deny = [{ crate = \"bad\" }]\nsources.allow-registry = [\"https://r\"]\n",
    );
    let faults = |name: &str, licence: Option<&str>, source: Option<&str>| {
        let (licence, source) = (licence.map(str::to_owned), source.map(str::to_owned));
        lists.faults(&[Package { name: name.to_owned(), licence, source }])
    };
    let registry = Some("registry+https://r");
    for allowed in ["MIT", "GPL-3.0 OR MIT", "Unlicense/MIT", "(MIT OR GPL-3.0) AND Zlib", "GPL-3.0 AND MIT OR Zlib"] {
        assert_eq!(faults("good", Some(allowed), registry), Vec::<String>::new(), "{allowed}");
    }
    for refused in
        ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", "MIT WITH x", "MIT MIT", "(MIT", "MIT OR", ""]
    {
        let found = faults("good", Some(refused), registry);
        assert!(found.len() == 1 && found[0].contains("licenses.allow"), "{refused}: {found:?}");
    }
    assert!(faults("good", None, registry)[0].contains("no licence"));
    assert!(faults("bad", Some("MIT"), registry)[0].contains("banned"));
    for elsewhere in [None, Some("git+https://r"), Some("registry+https://other")] {
        assert!(faults("good", Some("MIT"), elsewhere)[0].contains("comes from"), "{elsewhere:?}");
    }
}
