//! Conditions against contents.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::Body;

/// Whether `filters` let an event of the type `note` with this content through.
fn lets(filters: &Value, body: &str) -> bool {
    let filters = Condition::read_all("filters", filters).unwrap_or_else(|error| panic!("{error}"));
    let body = Body::from_checked(Bytes::copy_from_slice(body.as_bytes()));
    passes(&filters, &EventType::new("note").expect("a type"), &Content::of(&body))
}

/// Whether one condition on `/x` holds for what lies there; nothing of it: absent.
fn holds_for(operator: &str, operand: &Value, x: &str) -> bool {
    let body = if x.is_empty() { "{}".to_owned() } else { format!("{{\"x\":{x}}}") };
    lets(&json!([{"path": "/x", operator: operand}]), &body)
}

#[test]
fn each_operator_holds_for_what_it_says_and_for_nothing_else() {
    let found =
        ["", "null", "true", "false", "1", "1.0", "\"1\"", "\"A\"", "\"ab\"", "[]", "[\"A\",1]", "{}", "{\"A\":1}"];
    for (operator, operand, holding) in [
        ("equals", json!("A"), &["\"A\""][..]),
        ("equals", json!(1), &["1", "1.0"]),
        ("equals", json!(true), &["true"]),
        ("equals", json!(false), &["false"]),
        ("equals", json!(null), &["", "null"]),
        ("in", json!([1, "A"]), &["1", "1.0", "\"A\""]),
        ("in", json!(["1", null]), &["", "null", "\"1\""]),
        ("contains", json!("a"), &["\"A\"", "\"ab\"", "[\"A\",1]"]),
        ("contains", json!("B"), &["\"ab\""]),
        ("contains", json!(["x", "1"]), &["\"1\""]),
        ("startsWith", json!("b"), &[]),
        ("startsWith", json!(["b", "A"]), &["\"A\"", "\"ab\""]),
        ("exists", json!(true), &found[2..]),
        ("exists", json!(false), &["", "null"]),
    ] {
        for x in found {
            assert_eq!(holds_for(operator, &operand, x), holding.contains(&x), "{operator} {operand} of {x:?}");
        }
    }
}

#[test]
fn numbers_are_compared_as_numbers_whatever_their_size() {
    assert!(holds_for("equals", &json!(100), "1e2"));
    assert!(holds_for("equals", &json!(0), "-0.0"));
    assert!(!holds_for("equals", &json!(9_007_199_254_740_993_u64), "9007199254740992"));
    assert!(!holds_for("equals", &json!(1), "1e99999999999999999999"));
    assert!(holds_for("notEquals", &json!(1), "1e99999999999999999999"));
}

#[test]
fn case_counts_for_nothing_in_parts_of_a_text_and_for_something_in_a_whole() {
    assert!(holds_for("contains", &json!("MISSKEY"), "\"I love misskey\""));
    assert!(holds_for("contains", &json!("straße"), "\"GROSSE STRAßE\""));
    assert!(holds_for("contains", &json!("ミスキー"), "\"このミスキーは\""));
    assert!(holds_for("startsWith", &json!("École"), "\"ÉCOLE X\""));
    assert!(holds_for("contains", &json!("Tag"), "[\"tAG\"]"));
    assert!(!holds_for("contains", &json!("ta"), "[\"tag\"]"));
    assert!(!holds_for("equals", &json!("misskey"), "\"Misskey\""));
    assert!(!holds_for("in", &json!(["misskey"]), "\"Misskey\""));
}

#[test]
fn a_text_is_searched_as_far_as_its_first_32_kib_and_compared_whole() {
    let long = format!("é{}", "x".repeat(32 * 1024));
    assert!(holds_for("contains", &json!("é"), &format!("\"{long}é\"")));
    assert!(!holds_for("contains", &json!("y"), &format!("\"{long}y\"")));
    let just = format!("\"{}y\"", "x".repeat(32 * 1024 - 1));
    assert!(holds_for("contains", &json!("y"), &just));
    // A letter across the limit is not cut in two.
    assert!(!holds_for("contains", &json!("é"), &just.replace('y', "é")));
}

#[test]
fn all_conditions_must_hold_and_none_lets_everything_through() {
    let both = json!([{"path": "/a", "equals": 1}, {"path": "/b", "equals": 2}]);
    for (body, passes) in [(r#"{"a":1,"b":2}"#, true), (r#"{"a":1,"b":3}"#, false), (r#"{"a":2,"b":2}"#, false)] {
        assert_eq!(lets(&both, body), passes, "{body}");
    }
    assert!(lets(&json!([]), "{}"));
}

#[test]
fn a_condition_for_other_types_is_none_for_this_event() {
    let of = |types: Value| json!([{"path": "/a", "equals": 1, "types": types}]);
    assert!(lets(&of(json!(["reply", "mention"])), "{}"));
    assert!(!lets(&of(json!(["reply", "note"])), "{}"));
}

#[test]
fn a_body_that_is_no_json_is_let_through() {
    assert!(lets(&json!([{"path": "/a", "equals": 1}]), "{\"a\":2"));
}

#[test]
fn a_body_of_any_depth_is_let_through_or_kept_out_by_what_it_says() {
    let body = |visibility: &str| {
        format!(r#"{{"deep":{}{},"note":{{"visibility":"{visibility}"}}}}"#, "[".repeat(50_000), "]".repeat(50_000))
    };
    let filters = json!([{"path": "/note/visibility", "equals": "public"}]);
    assert!(lets(&filters, &body("public")));
    assert!(!lets(&filters, &body("specified")));
}

/// Any value that is no array and no object.
fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        "[aAbB]{0,3}".prop_map(Value::from),
    ]
}

/// Any value, not deep.
fn any_json() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::hash_map("[ab]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn each_not_is_the_opposite_for_every_content(body in any_json(), text in "[aAbB]{1,2}", number in -3_i64..3) {
        let body = json!({"x": body}).to_string();
        let lets = |operator: &str, operand: Value| lets(&json!([{"path": "/x", operator: operand}]), &body);
        for value in [json!(text), json!(number), json!(null), json!(true)] {
            prop_assert_ne!(lets("equals", value.clone()), lets("notEquals", value.clone()));
            prop_assert_eq!(lets("equals", value.clone()), lets("in", json!([value.clone()])));
        }
        let some = json!([text, number, null]);
        prop_assert_ne!(lets("in", some.clone()), lets("notIn", some));
        prop_assert_ne!(lets("contains", json!(text)), lets("notContains", json!(text)));
        prop_assert_ne!(lets("exists", json!(true)), lets("exists", json!(false)));
        prop_assert_eq!(lets("exists", json!(false)), lets("equals", json!(null)));
    }

    #[test]
    fn what_equals_is_what_a_whole_parser_says(body in any_json(), path in "(/[ab01]){1,3}", value in any_scalar()) {
        let expected = body.pointer(&path).unwrap_or(&Value::Null) == &value;
        let found = lets(&json!([{"path": path, "equals": value}]), &body.to_string());
        prop_assert_eq!(found, expected);
    }
}
