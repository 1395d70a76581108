//! What may be a condition, and in which words the rest is refused.

use serde_json::{Value, json};

use super::*;

#[track_caller]
fn assert_refused(given: &Value, place: &str, words: &str) {
    let error = Condition::read_all("filters", &json!([given])).expect_err("refused");
    assert_eq!(error.place, place, "{given}: {error}");
    assert!(error.what.contains(words), "{given}: {error}");
}

#[test]
fn a_condition_is_written_as_it_was_read() {
    for (given, written) in [
        (r#"{"equals":"public","path":"/note/visibility"}"#, r#"{"path":"/note/visibility","equals":"public"}"#),
        (r#"{"path":"/a","equals":null}"#, r#"{"path":"/a","equals":null}"#),
        (r#"{"path":"/a","notEquals":1.50}"#, r#"{"path":"/a","notEquals":1.5}"#),
        (r#"{"path":"/a","in":[1,"1",true,null]}"#, r#"{"path":"/a","in":[1,"1",true,null]}"#),
        (r#"{"path":"/a","notIn":[false]}"#, r#"{"path":"/a","notIn":[false]}"#),
        (r#"{"path":"/a","contains":"É"}"#, r#"{"path":"/a","contains":"É"}"#),
        (r#"{"path":"/a","contains":["B"]}"#, r#"{"path":"/a","contains":"B"}"#),
        (r#"{"path":"/a","notContains":["B","c"]}"#, r#"{"path":"/a","notContains":["B","c"]}"#),
        (r#"{"path":"/a~1b","startsWith":"x"}"#, r#"{"path":"/a~1b","startsWith":"x"}"#),
        (
            r#"{"types":["note","x"],"path":"/a","exists":false}"#,
            r#"{"path":"/a","exists":false,"types":["note","x"]}"#,
        ),
    ] {
        let value: Value = serde_json::from_str(given).expect("JSON");
        let condition = Condition::read("", &value).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(serde_json::to_string(&condition).expect("JSON"), written);
        let again = Condition::read("", &serde_json::from_str(written).expect("JSON")).expect("read");
        assert_eq!(again, condition, "{given}");
    }
}

#[test]
fn what_is_no_list_of_conditions_is_refused_with_its_place_and_how_to_mend_it() {
    let read = |value: Value| Condition::read_all("filters", &value).expect_err("refused").to_string();
    assert_eq!(read(json!({})), "filters: it must be an array of conditions, and this is an object");
    let many = vec![json!({"path": "/a", "exists": true}); 17];
    assert_eq!(read(json!(many)), "filters: it has 17 conditions, and 16 are allowed");
    assert_eq!(Condition::read_all("filters", &json!(many[..16])).expect("16").len(), 16);
    let texts = |count: usize| json!({"path": "/a", "contains": vec!["x"; count]});
    let words = "filters: its contains, notContains and startsWith have 65 texts together, and 64 are allowed";
    assert_eq!(read(json!([texts(32), texts(33)])), words);
    assert!(Condition::read_all("filters", &json!([texts(32), texts(32)])).is_ok());
    let second = json!([{"path": "/a", "exists": true}, {"path": "/a", "exists": 1}]);
    assert_eq!(read(second), "filters[1].exists: it must be true or false, and this is a number");
}

#[test]
fn a_condition_that_says_nothing_clear_is_refused_with_its_place_and_how_to_mend_it() {
    for (given, place, words) in [
        (json!("note"), "filters[0]", "must be an object such as {\"path\""),
        (json!({"path": "/a"}), "filters[0]", "no operator; give one of equals, notEquals"),
        (
            json!({"path": "/a", "equals": 1, "exists": true}),
            "filters[0]",
            "both equals and exists; make a condition of each",
        ),
        (json!({"path": "/a", "equal": 1}), "filters[0]", "\"equal\" is unknown here; a condition has path, types and"),
        (json!({"path": "/a", "matches": ".*"}), "filters[0]", "\"matches\" is unknown"),
        (
            json!({"path": "/a", "equals": [1]}),
            "filters[0].equals",
            "string, number, true, false or null, and this is an array",
        ),
        (json!({"path": "/a", "notEquals": {}}), "filters[0].notEquals", "and this is an object"),
        (json!({"path": "/a", "in": "x"}), "filters[0].in", "must be an array, and this is a string"),
        (json!({"path": "/a", "in": []}), "filters[0].in", "0 items, and 1 to 64"),
        (json!({"path": "/a", "notIn": vec![1; 65]}), "filters[0].notIn", "65 items, and 1 to 64"),
        (json!({"path": "/a", "in": [1, []]}), "filters[0].in[1]", "and this is an array"),
        (
            json!({"path": "/a", "contains": 5}),
            "filters[0].contains",
            "a string or an array of strings, and this is a number",
        ),
        (json!({"path": "/a", "contains": ""}), "filters[0].contains", "it is empty"),
        (json!({"path": "/a", "notContains": ["x", ""]}), "filters[0].notContains[1]", "it is empty"),
        (json!({"path": "/a", "startsWith": ["x", null]}), "filters[0].startsWith[1]", "and this is null"),
        (json!({"path": "/a", "startsWith": "x".repeat(257)}), "filters[0].startsWith", "257 characters, and 256"),
        (json!({"path": "/a", "equals": "é".repeat(257)}), "filters[0].equals", "257 characters, and 256"),
        (json!({"path": "/a", "exists": "yes"}), "filters[0].exists", "true or false"),
        (json!({"path": "/a", "exists": true, "types": "note"}), "filters[0].types", "must be an array"),
        (json!({"path": "/a", "exists": true, "types": []}), "filters[0].types", "0 items"),
        (json!({"path": "/a", "exists": true, "types": ["note", ""]}), "filters[0].types[1]", "empty"),
        (json!({"path": "/a", "exists": true, "types": vec!["note"; 65]}), "filters[0].types", "65 items"),
    ] {
        assert_refused(&given, place, words);
    }
}

#[test]
fn a_path_that_leads_nowhere_is_refused_in_words() {
    let path = |path: Value| json!({"path": path, "exists": true});
    for (given, words) in [
        (json!({"exists": true}), "it is missing; it says where"),
        (path(json!(["note"])), "must be a string, and this is an array"),
        (path(json!("")), "does not begin with '/'; it must be a JSON Pointer"),
        (path(json!("note.text")), "does not begin with '/'"),
        (path(json!("$.note")), "does not begin with '/'"),
        (path(json!("/body/note/text")), "leave out /body"),
        (path(json!("/a~2b")), "write ~0 for '~'"),
        (path(json!("/a~")), "write ~0 for '~'"),
        (path(json!("/a".repeat(17))), "17 steps, and 16"),
        (path(json!(format!("/{}", "é".repeat(256)))), "257 characters, and 256"),
    ] {
        assert_refused(&given, "filters[0].path", words);
    }
    let steps = |text: &str| Pointer::read(text).expect("a path").steps().to_vec();
    assert_eq!(steps("/a~01/~1/"), ["a~1", "/", ""]);
    assert_eq!(steps("/body/x"), ["body", "x"]);
}
