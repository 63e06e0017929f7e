use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::diagnostic::Diagnostics;
use crate::document::Source;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    name: String,
    #[serde(default)]
    size: Option<u16>,
    #[serde(default)]
    on: bool,
    #[serde(default)]
    colour: Colour,
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    any: Option<serde_json::Value>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
enum Colour {
    #[default]
    Red,
    Green,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    inner: Inner,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    id: i64,
}

fn document(text: &str) -> Document {
    let (mut documents, problems) = Document::read(&Source { name: "a.yaml".to_owned(), text: text.to_owned() });
    assert!(problems.is_empty(), "{problems}");
    documents.remove(0)
}

/// The messages, with their lines and columns.
fn wrong(text: &str) -> Vec<String> {
    let document = document(text);
    let line = |problem: &Diagnostic| {
        let position = problem.position.as_ref().unwrap();
        format!("{}:{} {}", position.line(), position.column(), problem.message)
    };
    decode::<Object>(&document, &[]).problems.iter().map(line).collect()
}

fn right(text: &str) -> Object {
    let document = document(text);
    let decoded = decode::<Object>(&document, &["ignored"]);
    assert!(decoded.problems.is_empty(), "{:?}", decoded.problems);
    decoded.object.unwrap()
}

#[test]
fn what_is_right_is_decoded() {
    let text = "name: x\nsize: 5\non: true\ncolour: Green\nparts: [{inner: {id: -1}}]\nlabels: {1: a}\nany: {a: [1.5, null]}\nignored: 1\n";
    let expected = Object {
        name: "x".to_owned(),
        size: Some(5),
        on: true,
        colour: Colour::Green,
        parts: vec![Part { inner: Inner { id: -1 } }],
        labels: [("1".to_owned(), "a".to_owned())].into(),
        any: Some(serde_json::json!({"a": [1.5, null]})),
    };
    assert_eq!(right(text), expected);
}

#[test]
fn a_field_without_a_value_counts_as_absent() {
    let expected = Object { name: "x".to_owned(), ..Object::default() };
    assert_eq!(right("name: x\nsize:\non:\ncolour: null\nparts: ~\nlabels:\nany:\n"), expected);
    assert_eq!(wrong("name:\n"), ["1:1 name is empty"]);
    assert_eq!(wrong("name: x\nlabels: {a: }\n"), ["2:10 labels.a must be text, not empty"]);
    assert_eq!(wrong("name: x\nunknown:\n"), ["2:1 unknown field `unknown`"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "name: 5\nsize: -1\non: 1\ncolour: green\nparts:\n- inner: {id: x, extra: 1}\n- 7\n- {}\n- inner: {id: 1}\nextra: 1\n";
    assert_eq!(
        wrong(text),
        [
            "1:7 name must be text, not the number `5`",
            "2:7 size must be a port from 1 to 65535, not the number `-1`",
            "3:5 on must be `true` or `false`, not the number `1`",
            "4:9 colour must be Red or Green, not the text `green`",
            "6:15 parts[0].inner.id must be a whole number, not the text `x`",
            "6:18 unknown field `parts[0].inner.extra`",
            "7:3 parts[1] must be a mapping, not the number `7`",
            "8:3 parts[2].inner is missing",
            "10:1 unknown field `extra`",
        ]
    );
}

#[test]
fn what_follows_from_an_error_is_not_told_again() {
    assert_eq!(wrong("name: [x]\n"), ["1:1 name must be text, not a list"]);
    assert_eq!(wrong("name: x\nparts: [{inner: 5}]\n"), ["2:17 parts[0].inner must be a mapping, not the number `5`"]);
}

#[test]
fn a_mapping_is_not_a_list_of_its_fields() {
    assert_eq!(wrong("[x]\n"), ["1:1 a declaration must be a mapping, not a list"]);
    assert_eq!(wrong("name: x\nparts: {inner: {id: 1}}\n"), ["2:1 parts must be a list, not a mapping"]);
}

#[test]
fn numbers_out_of_range_are_shown_as_written() {
    assert_eq!(
        wrong("name: x\nsize: 0x1FFFF\nparts: [{inner: {id: 99999999999999999999}}, {inner: {id: 1.0}}]\n"),
        [
            "2:7 size must be a port from 1 to 65535, not the number `0x1FFFF`",
            "3:22 parts[0].inner.id must be a whole number, not the number `99999999999999999999`",
            "3:59 parts[1].inner.id must be a whole number, not the number `1.0`",
        ]
    );
}

#[test]
fn a_long_value_is_cut() {
    let message = &wrong(&format!("name: x\ncolour: {}\n", "ö".repeat(500)))[0];
    assert!(message.ends_with(&format!("`{}…`", "ö".repeat(40))), "{message}");
}

#[test]
fn hints_say_what_to_write() {
    let hint = |text: &str| {
        let document = document(text);
        let decoded = decode::<Object>(&document, &[]);
        decoded.problems.first().and_then(|problem| problem.hint.clone()).unwrap_or_default()
    };
    for (text, expected) in [
        ("name: 1.10\n", "put it in quotes: `\"1.10\"`"),
        ("name: True\n", "put it in quotes: `\"True\"`"),
        ("name: x\nsize: '5'\n", "write it without quotes: `5`"),
        ("name: x\non: yes\n", "write `true`, without quotes"),
        ("name: x\non: Off\n", "write `false`, without quotes"),
        ("name: x\ncolour: gren\n", "did you mean `Green`?"),
        ("name: x\ncolor: Red\n", "did you mean `colour`?"),
        ("name: x\nwhatever: Red\n", "the fields here are name, size, on, colour, parts, labels, any"),
        ("name: x\nparts: y\n", "begin each element with `- `, on lines of their own"),
        ("name: x\nsize: many\n", ""),
    ] {
        assert_eq!(hint(text), expected, "{text}");
    }
}

#[test]
fn a_flood_of_errors_ends() {
    let fields: Vec<String> = (0..2_000).map(|number| format!("field{number}: 1\n")).collect();
    let wrong = wrong(&fields.concat());
    assert_eq!(wrong.len(), MAX_ERRORS + 2);
    assert_eq!(wrong.last().unwrap(), "1:1 there is more wrong with this document than is shown");
}

#[test]
fn validation_is_believed_only_where_nothing_was_left_out() {
    let document =
        document("name: x\nparts: [{inner: {id: 1}}, 5, {inner: {id: 2}}]\nsize: -1\nlabels: {a: b, c: 1}\n");
    let decoded = decode::<Object>(&document, &[]);
    assert_eq!(decoded.object.as_ref().unwrap().parts.len(), 2);
    for (path, faithful) in [
        ("name", true),
        ("labels.a", true),
        ("labels", false),
        ("labels.c", false),
        ("size", false),
        ("parts[1].inner.id", false),
        ("absent", false),
    ] {
        assert_eq!(decoded.is_faithful_at(&document, path), faithful, "{path}");
    }
    let problems: Diagnostics = decoded.problems.into_iter().collect();
    assert_eq!(problems.len(), 3);
}
