//! The known word that someone may have meant.

/// Longer words are not names that anyone mistyped, and comparing them would take long.
const MAX_WORD_BYTES: usize = 256;

/// The known word nearest to `word`, if one is near enough to be what was meant. Case is ignored; a third of the
/// letters may differ, and two may have changed places.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    let letters = word.chars().count();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            let longer = letters.max(candidate.chars().count());
            *distance <= longer / 3 || (*distance == 1 && has_the_same_letters(&word, &candidate.to_lowercase()))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn has_the_same_letters(word: &str, other: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(word) == sorted(other)
}

/// A hint for a word that is not known: the nearest one that is, else what is said otherwise.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, otherwise: impl Into<String>) -> String {
    nearest(word, known).map_or_else(|| otherwise.into(), |nearest| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
#[path = "nearest_tests.rs"]
mod tests;
