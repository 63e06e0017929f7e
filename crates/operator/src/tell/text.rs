//! Text for people, no longer than the API server takes it.

/// The beginning of a text that has more bytes than that, with a sign that it goes on.
pub(crate) fn shortened(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest - "…".len()));
        text.push('…');
    }
    text
}
