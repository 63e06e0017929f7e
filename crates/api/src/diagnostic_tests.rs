use super::*;

fn at(text: &str, span: Range<usize>) -> Diagnostic {
    let source = Arc::new(Source { name: "a.yaml".to_owned(), text: text.to_owned() });
    Diagnostic::error("wrong").at(Position::new(source, span))
}

fn warning(message: &str) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..Diagnostic::error(message) }
}

fn place(text: &str, span: Range<usize>) -> (usize, usize) {
    let position = at(text, span).position.unwrap();
    (position.line(), position.column())
}

#[test]
fn columns_are_characters_whatever_they_take() {
    let text = "a: 1\r\n\tb: 😀ö\r\n";
    let emoji = text.find('😀').unwrap();
    assert_eq!(place(text, emoji..emoji + 4), (2, 5));
    assert_eq!(place(text, emoji + 4..emoji + 6), (2, 6));
    assert_eq!(place(text, text.len()..text.len()), (3, 1));
}

#[test]
fn a_span_outside_of_the_text_or_within_a_character_is_drawn_in() {
    let position = at("ö", 1..900).position.unwrap();
    assert_eq!(position.span(), 0..2);
    let position = at("", 5..9).position.unwrap();
    assert_eq!((position.span(), position.line(), position.column()), (0..0, 1, 1));
}

#[test]
fn only_the_first_line_of_a_position_is_shown() {
    insta::assert_snapshot!(at("a: |\n  one\n  two\nb: 1\n", 7..17).hint("do this").render(false));
}

#[test]
fn the_end_of_a_line_with_crlf_is_before_its_end() {
    let rendered = at("a: 1\r\nb: 2\r\n", 5..5).render(false);
    assert_eq!(rendered, "error: wrong\n --> a.yaml:1:5\n  |\n1 | a: 1\n  |     ^");
}

#[test]
fn a_tab_and_wide_characters_keep_the_caret_below_its_word() {
    insta::assert_snapshot!(at("\tb: 😀ö x\n", 11..12).render(false));
}

#[test]
fn nothing_in_a_source_or_message_steers_the_terminal() {
    let diagnostic = at("a\u{1b}[31m\u{9b}31m: \u{202e}x\u{7f}\n", 0..1);
    let rendered = Diagnostic { message: "m\u{1b}[31m\r".to_owned(), ..diagnostic }.hint("h\u{9b}").render(false);
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
    assert!(!rendered.contains('\u{202e}'));
}

#[test]
fn colour_only_adds_escape_sequences() {
    let mut diagnostics = Diagnostics::from(at("a: 1\n", 3..4).hint("h"));
    diagnostics.push(warning("careful"));
    assert!(diagnostics.render(true).contains('\u{1b}'));
    assert!(!diagnostics.render(false).contains('\u{1b}'));
    let mut plain = String::new();
    let mut rest = &diagnostics.render(true)[..];
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(plain + rest, diagnostics.render(false));
}

#[test]
fn diagnostics_are_rendered_by_file_and_position() {
    let source = |name: &str| Arc::new(Source { name: name.to_owned(), text: "a: 1\nb: 2\n".to_owned() });
    let (a, b) = (source("a.yaml"), source("b.yaml"));
    let diagnostics: Diagnostics = [
        Diagnostic::error("fourth").at(Position::new(b, 0..1)),
        Diagnostic::error("third").at(Position::new(Arc::clone(&a), 5..6)),
        Diagnostic::error("second").at(Position::new(a, 0..1)),
        warning("first"),
    ]
    .into_iter()
    .collect();
    insta::assert_snapshot!(diagnostics.render(false));
    assert_eq!(diagnostics.to_string() + "\n", diagnostics.render(false));
    assert_eq!(diagnostics.iter().next().unwrap().message, "fourth");
}

#[test]
fn warnings_are_no_errors() {
    let mut diagnostics = Diagnostics::default();
    assert!(diagnostics.is_empty() && !diagnostics.has_errors() && diagnostics.render(false).is_empty());
    diagnostics.push(warning("careful"));
    assert!(!diagnostics.has_errors());
    diagnostics.extend([Diagnostic::error("wrong")]);
    assert!(diagnostics.has_errors());
    assert_eq!(diagnostics.len(), 2);
}
