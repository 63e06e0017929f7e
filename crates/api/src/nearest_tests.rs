use super::nearest;

const KNOWN: [&str; 6] = ["connectionLimit", "contact", "comment", "create", "credentials", "db"];

#[test]
fn a_slip_finds_the_word_that_was_meant() {
    for (word, expected) in [
        ("conectionLimit", "connectionLimit"),
        ("connection_limit", "connectionLimit"),
        ("CONNECTIONLIMIT", "connectionLimit"),
        ("credential", "credentials"),
        ("coment", "comment"),
        ("bd", "db"),
    ] {
        assert_eq!(nearest(word, KNOWN), Some(expected), "{word}");
    }
}

#[test]
fn an_unrelated_word_finds_nothing() {
    for word in ["", "x", "database", "🦀", "replicas"] {
        assert_eq!(nearest(word, KNOWN), None, "{word}");
    }
    assert_eq!(nearest("do", ["dd", "go", "d"]), None);
    assert_eq!(nearest(&"c".repeat(100_000), KNOWN), None);
    assert_eq!(nearest("contact", []), None);
}

#[test]
fn the_nearest_wins_over_the_first() {
    assert_eq!(nearest("limits", ["limit", "limits"]), Some("limits"));
}
