use super::{Rules, check};

const KNOWN: [&str; 2] = ["uri", "password"];

fn count(template: &str) -> Result<usize, String> {
    check("spec.key", template, Rules { known: &KNOWN, escapes: true }).map_err(|violation| violation.message)
}

#[test]
fn placeholders_are_counted_and_escaped_braces_are_text() {
    for (template, expected) in [
        ("", 0),
        ("text", 0),
        ("{uri}", 1),
        ("{uri}?x={password}", 2),
        ("{{uri}}", 0),
        ("{{{uri}}}", 1),
        (r#"{{"url": "{uri}"}}"#, 1),
        ("ä{uri}ö", 1),
    ] {
        assert_eq!(count(template), Ok(expected), "{template}");
    }
}

#[test]
fn a_brace_without_partner_is_refused() {
    for template in ["{", "}", "{uri", "uri}", "{uri}}", "{{uri}", "{u{uri}}", r#"{"url": "{uri}"}"#] {
        let message = count(template).unwrap_err();
        assert!(message.contains("no partner"), "{template}: {message}");
    }
}

#[test]
fn an_unknown_placeholder_is_refused_with_the_nearest() {
    let violation = check("spec.key", "{pasword}", Rules { known: &KNOWN, escapes: true }).unwrap_err();
    assert_eq!(violation.message, "spec.key: unknown placeholder `{pasword}`");
    assert_eq!(violation.hint.as_deref(), Some("did you mean `{password}`?"));
    let violation = check("spec.key", "{}", Rules { known: &KNOWN, escapes: false }).unwrap_err();
    assert_eq!(violation.hint.as_deref(), Some("the placeholders here are {uri} {password}"));
}

#[test]
fn without_escapes_a_doubled_brace_is_unbalanced() {
    assert!(check("spec.key", "{{uri}}", Rules { known: &KNOWN, escapes: false }).is_err());
}
