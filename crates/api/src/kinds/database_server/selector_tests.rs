use super::{LabelSelector, Labels};

fn labels(text: &str) -> Labels {
    let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn all_that_is_asked_of_labels_has_to_hold() {
    for (selector, text, selected, others) in [
        ("{}", "", vec!["", "a=b"], vec![]),
        ("{matchLabels: {a: b, c: d}}", "a=b,c=d", vec!["a=b c=d", "a=b c=d e=f"], vec!["", "a=b", "a=b c=e"]),
        (
            "{matchExpressions: [{key: a, operator: In, values: [b, c]}]}",
            "a in (b,c)",
            vec!["a=b", "a=c"],
            vec!["", "a=d"],
        ),
        ("{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}", "a notin (b)", vec!["", "a=c"], vec!["a=b"]),
        ("{matchExpressions: [{key: a, operator: Exists}]}", "a", vec!["a=b", "a="], vec!["", "b=a"]),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", "!a", vec!["", "b=a"], vec!["a=b"]),
        (
            "{matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}",
            "a=b,c",
            vec!["a=b c=d"],
            vec!["a=b", "c=d"],
        ),
    ] {
        let selector: LabelSelector = serde_saphyr::from_str(selector).unwrap();
        assert_eq!(selector.to_string(), text);
        for of in selected {
            assert!(selector.selects(&labels(of)), "{text} selects {of}");
        }
        for of in others {
            assert!(!selector.selects(&labels(of)), "{text} does not select {of}");
        }
    }
}
