//! Passwords that somebody wrote where none belongs, kept out of what is shown.

/// The keys whose value nobody should see; what is called `passwordFrom` only says where a password is.
const KEYS: [&str; 3] = ["password", "passwd", "secret"];

/// A line of YAML or JSON with the values of such keys as asterisks, each character in its place.
pub(crate) fn masked(line: &str) -> String {
    let mut shown: Vec<char> = line.chars().collect();
    let lower: Vec<char> = shown.iter().map(char::to_ascii_lowercase).collect();
    for at in 0..lower.len() {
        let ends = KEYS.iter().filter(|key| lower[at..].starts_with(&key.chars().collect::<Vec<_>>()));
        for end in ends.map(|key| at + key.len()) {
            hide_value(&mut shown, end);
        }
    }
    shown.into_iter().collect()
}

/// Hides what follows the `:` after a key, up to where the value ends.
fn hide_value(line: &mut [char], key_end: usize) {
    let mut at = key_end;
    while line.get(at).is_some_and(|c| matches!(c, '"' | '\'' | ' ')) {
        at += 1;
    }
    if line.get(at) != Some(&':') {
        return;
    }
    at += 1;
    while line.get(at).is_some_and(|c| *c == ' ') {
        at += 1;
    }
    let quote = line.get(at).copied().filter(|c| matches!(c, '"' | '\''));
    at += usize::from(quote.is_some());
    while let Some(c) = line.get_mut(at) {
        if quote.map_or(matches!(*c, ',' | '}'), |quote| *c == quote) {
            return;
        }
        *c = '*';
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn the_value_of_a_password_is_hidden_and_nothing_else() {
        for (line, shown) in [
            ("  password: hunter2", "  password: *******"),
            ("admin: {username: a, password: hunter2}", "admin: {username: a, password: *******}"),
            ("{\"Password\": \"a, b}\", \"x\": 1}", "{\"Password\": \"*****\", \"x\": 1}"),
            ("adminPassword: 'größe', x: y", "adminPassword: '*****', x: y"),
            ("passwordFrom: [{env: PGPASSWORD}]", "passwordFrom: [{env: PGPASSWORD}]"),
            ("secretName: cafe-secret", "secretName: cafe-secret"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
