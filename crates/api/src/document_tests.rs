use super::read::{WORTH_A_THREAD, threads};
use super::*;

fn source(text: &str) -> Source {
    Source { name: "a.yaml".to_owned(), text: text.to_owned() }
}

fn read(text: &str) -> Vec<Document> {
    let (documents, problems) = Document::read(&source(text));
    assert!(problems.is_empty(), "{problems}");
    documents
}

fn problems(text: &str) -> String {
    Document::read(&source(text)).1.render(false)
}

/// What the path points at: line, column and text.
fn pointed(document: &Document, path: &str) -> (usize, usize, String) {
    let position = document.error(path, "").position.unwrap();
    (position.line(), position.column(), document.text()[position.span()].to_owned())
}

fn expect(document: &Document, path: &str, line: usize, column: usize, text: &str) {
    assert_eq!(pointed(document, path), (line, column, text.to_owned()), "{path}");
}

#[test]
fn every_key_and_value_knows_where_it_stands() {
    let text = "\u{feff}metadata: {name: x}\r\nspec:\r\n  comment: \"😀\ttab\"\r\n  ö: 'ü'\r\n  schemas:\r\n  - 😀a\r\n  - b\r\n";
    let document = &read(text)[0];
    expect(document, "metadata.name", 1, 18, "x");
    expect(document, "spec", 2, 1, "spec");
    expect(document, "spec.comment", 3, 12, "\"😀\ttab\"");
    expect(document, "spec.ö", 4, 6, "'ü'");
    expect(document, "spec.schemas", 5, 3, "schemas");
    expect(document, "spec.schemas[0]", 6, 5, "😀a");
    expect(document, "spec.schemas[1]", 7, 5, "b");
}

#[test]
fn a_path_that_does_not_exist_leads_to_what_is_nearest() {
    let document = &read("metadata: {name: x}\nspec:\n  access:\n    - {level: ReadOnly}\n    - [1]\n")[0];
    expect(document, "spec.access[0].level", 4, 15, "ReadOnly");
    expect(document, "spec.access[0].name", 4, 7, "{");
    expect(document, "spec.access[1]", 5, 7, "[");
    expect(document, "spec.access[7].name", 3, 3, "access");
    expect(document, "spec.access[x]", 3, 3, "access");
    expect(document, "spec.source.endpoint", 2, 1, "spec");
    expect(document, "status.ready", 1, 18, "x");
    expect(document, "", 1, 18, "x");
    let document = &read("\n# comment\nspec: {}\n")[0];
    expect(document, "status", 3, 1, "spec");
    assert_eq!(document.line(), 3);
}

#[test]
fn keys_may_hold_dots_and_brackets() {
    let text = "spec:\n  a.b: 1\n  a: {b.c: 2, b: {d: 3}}\n  k[0]: 4\n  k: [5]\n  '': 6\n";
    let document = &read(text)[0];
    expect(document, "spec.a.b", 2, 8, "1");
    expect(document, "spec.a.b.c", 3, 12, "2");
    expect(document, "spec.a.b.d", 3, 22, "3");
    expect(document, "spec.k[0]", 4, 9, "4");
    expect(document, "spec..x", 1, 1, "spec");
}

#[test]
fn empty_documents_are_skipped_and_all_others_are_found() {
    let documents = read("# only a comment\n---\n---\na: 1\n...\n---\n\n--- {b: 2}\n---\nnull\n");
    let lines: Vec<usize> = documents.iter().map(Document::line).collect();
    assert_eq!(lines, [4, 8]);
    assert!(read("").is_empty());
    assert!(read("\u{feff}").is_empty());
}

#[test]
fn more_documents_than_a_fleet_has_can_be_read() {
    assert_eq!(read(&"---\nmetadata: {name: x}\nspec: {server: y}\n".repeat(5_000)).len(), 5_000);
}

#[test]
fn the_documents_of_a_long_text_know_where_they_stand() {
    let (marker, document) = ("--- # ö\n", "a: &a {ü: 'é'}\nb: |\n  ---\n   x\nc: *a\n...\n");
    let number = 2 * threads() * WORTH_A_THREAD / document.len();
    let documents = read(&(marker.to_owned() + document).repeat(number));
    assert_eq!(documents.len(), number);
    for (index, document) in documents.iter().enumerate() {
        expect(document, "a.ü", 7 * index + 2, 11, "'é'");
        expect(document, "c.ü", 7 * index + 2, 11, "'é'");
    }
}

#[test]
fn a_long_text_with_one_mistake_is_read_like_a_short_one() {
    let document = "---\na: 1\n";
    let number = 2 * threads() * WORTH_A_THREAD / document.len();
    let text = document.repeat(number) + "---\nb: b: b\n" + &document.repeat(number);
    let (documents, problems) = Document::read(&source(&text));
    assert_eq!(documents.len(), 2 * number);
    assert_eq!(problems.len(), 1);
    assert!(problems.render(false).contains(&format!("a.yaml:{}:5", 2 * number + 2)), "{problems}");
}

#[test]
fn the_items_of_a_list_are_documents() {
    let text = "kind: List\napiVersion: v1\nitems:\n- a: 1\n- kind: List\n  items: [{b: 2}]\n---\nc: 3\n";
    let documents = read(text);
    let keys: Vec<&str> = documents.iter().map(|document| document.root().entries()[0].key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    expect(&documents[1], "b", 6, 15, "2");
    assert!(problems("kind: List\n").contains("a List has `items`"));
    assert!(problems("kind: List\nitems: 5\n").contains("`items` must be a list"));
}

#[test]
fn what_an_alias_stands_for_is_where_it_was_defined() {
    let document = &read("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}\n")[0];
    expect(document, "c.b", 1, 11, "1");
    expect(document, "d.b", 1, 11, "1");
    expect(document, "d.e", 3, 16, "2");
}

#[test]
fn json_is_read_as_well() {
    let document = &read("{\"a\": [1, {\"b\": null, \"c\": \"x\\u00e4\"}]}")[0];
    expect(document, "a[1].b", 1, 12, "\"b\"");
    expect(document, "a[1].c", 1, 28, "\"x\\u00e4\"");
}

#[test]
fn what_can_not_be_read_costs_only_its_own_document() {
    let text = "a: b: c\n---\nok: 1\n---\nx: 1\nx: 2\n\ty: 3\n---\n# fine\nok: 2\n--- 'unterminated\n";
    let (documents, problems) = Document::read(&source(text));
    assert_eq!(documents.iter().map(Document::line).collect::<Vec<_>>(), [3, 10]);
    insta::assert_snapshot!(problems.render(false));
}

#[test]
fn a_directive_belongs_to_the_document_after_it() {
    let text = "%YAML 1.2\n# comment\n---\na: 1\n---\nb: b: b\n";
    let (documents, problems) = Document::read(&source(text));
    assert_eq!(documents.len(), 1);
    assert_eq!(problems.len(), 1);
    assert!(problems.render(false).contains("a.yaml:6:5"), "{problems}");
}

#[test]
fn bombs_and_towers_are_refused() {
    let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned()];
    for level in 1..9 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        bomb.push(format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(problems(&bomb.concat()).contains("the aliases repeat too much"));
    assert!(problems(&"[".repeat(10_000)).starts_with("error: "));
    assert!(problems(&format!("{}1{}", "[".repeat(40), "]".repeat(40))).contains("deeper than 32 levels"));
    assert_eq!(read(&format!("{}1{}", "[".repeat(32), "]".repeat(32))).len(), 1);
    let tower: String = (0..200).map(|depth| " ".repeat(depth) + "a:\n").collect();
    assert!(problems(&tower).contains("deeper than 32 levels"));
}

#[test]
fn every_reason_is_said_in_plain_words() {
    let texts = [
        "a: *unknown\n",
        "a: &a [*a]\n",
        "a: !vault x\n",
        "? [a]\n: b\n",
        "~: b\n",
        "a: @b\n",
        "a: [1, 2\n",
        "a:\n\tb: 1\n",
        "a: \"\\q\"\n",
        "a\0: 1\n",
    ];
    insta::assert_snapshot!(texts.map(problems).join("\n"));
}
