//! Templates: text with placeholders in braces, such as `{name}`.

use crate::kinds::Violation;
use crate::nearest;

/// How a template may be written.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// The placeholders there are.
    pub known: &'a [&'a str],
    /// Whether `{{` and `}}` stand for a brace.
    pub escapes: bool,
}

/// Checks the template that stands at `path`.
///
/// # Errors
/// A [`Violation`] when a brace has no partner or a placeholder is unknown; else the number of its placeholders.
pub(crate) fn check(path: &str, template: &str, rules: Rules<'_>) -> Result<usize, Violation> {
    let unbalanced = |brace: &str| {
        let violation = Violation::new(path, format!("{path}: a `{brace}` has no partner"));
        if rules.escapes { violation.hint(format!("a brace itself is written `{brace}{brace}`")) } else { violation }
    };
    let mut count = 0;
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (brace, after) = rest[at..].split_at(1);
        if rules.escapes && after.starts_with(brace) {
            rest = &after[1..];
            continue;
        }
        let end = after.find(['{', '}']).filter(|end| brace == "{" && after[*end..].starts_with('}'));
        let Some(end) = end else { return Err(unbalanced(brace)) };
        let placeholder = &after[..end];
        if !rules.known.contains(&placeholder) {
            return Err(unknown(path, placeholder, rules.known));
        }
        count += 1;
        rest = &after[end + 1..];
    }
    Ok(count)
}

fn unknown(path: &str, placeholder: &str, known: &[&str]) -> Violation {
    let hint = match nearest(placeholder, known.iter().copied()) {
        Some(known) => format!("did you mean `{{{known}}}`?"),
        None => format!("the placeholders here are {}", braced(known)),
    };
    Violation::new(path, format!("{path}: unknown placeholder `{{{placeholder}}}`")).hint(hint)
}

/// The placeholders as one writes them: `{uri} {host}`.
pub(crate) fn braced(placeholders: &[&str]) -> String {
    placeholders.iter().map(|placeholder| format!("{{{placeholder}}}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
